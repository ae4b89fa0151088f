"""What the jobs of a study read, are told and run, by their wildcards."""

import json
import os
import shlex

import pytest
from configs_by_hand import study
from projects import ROOT
from snakemake.iocontainers import Wildcards

from unitscope.errors import UserError
from unitscope.workflow.jobs import job_resources
from unitscope.workflow.jobs.final_files import final_files
from unitscope.workflow.jobs.job_checks import JobChecks
from unitscope.workflow.jobs.job_code import JobCode
from unitscope.workflow.jobs.job_files import JobFiles
from unitscope.workflow.jobs.job_resources import gpus_per_job
from unitscope.workflow.jobs.job_settings import JobSettings
from unitscope.workflow.jobs.wildcard_values import alternatives, constraints, values_of
from unitscope.workflow.project_folder import job_environment, refuse_wrong_folder
from unitscope.workflow.provenance import code_digest, user_code_digest

CHANGES = {
    "experiments__first__layers": {"hidden1": {"units": {"sample": 8}}, "logits": {}},
    "experiments__first__methods": {"am": {"start": "mean"}, "iam": {}, "z": {"objective": "iam_z"}},
    "experiments__first__images": {"block": 5, "batch": {"hidden1": 32, "logits": 4}},
}
R = "results/first"
RESNET = {"source": "torchvision", "model": "resnet18", "weights": {"torchvision": "IMAGENET1K_V1"}}


def wildcards(**values):
    return Wildcards(fromdict={"experiment": "first", **values})


def of_all(*methods):
    return [f"{layer}.{method}" for layer in ("hidden1", "logits") for method in methods]


@pytest.fixture
def files():
    return JobFiles(study(**CHANGES))


@pytest.fixture
def settings():
    return JobSettings(study(**CHANGES))


# --- files -----------------------------------------------------------------------------------------------------------


def test_network_of_a_job_by_name_or_experiment(files):
    of_network = Wildcards(fromdict={"network": "small"})
    assert files.dataset(of_network) == files.dataset(wildcards()) == "data/datasets/digits.h5"
    assert files.checkpoint(wildcards()) == "data/checkpoints/small.pt"
    assert files.record(wildcards()) == "data/checkpoints/small.json"
    assert files.user_files(wildcards()) == [] and files.pretrained_checkpoint(wildcards()) == []


def test_files_per_layer_and_method_are_in_the_order_of_the_config(files):
    per_both = files.across("results/{experiment}/x/{layer}.{method}.csv")(wildcards())
    assert per_both == [
        f"{R}/x/{layer}.{method}.csv" for layer in ("hidden1", "logits") for method in ("am", "iam", "z")
    ]
    assert files.across("results/{experiment}/x/{layer}.csv")(wildcards()) == [
        f"{R}/x/hidden1.csv",
        f"{R}/x/logits.csv",
    ]
    of_layer = files.across_methods("{experiment}/{layer}.{method}")(wildcards(layer="logits"))
    assert of_layer == ["first/logits.am", "first/logits.iam", "first/logits.z"]
    assert files.across_iam("{layer}.{method}")(wildcards()) == ["hidden1.iam", "logits.iam"]
    assert files.of_first_iam("{layer}.{method}")(wildcards(layer="logits")) == ["logits.iam"]
    assert files.across_maximizing("{layer}.{method}")(wildcards()) == of_all("am", "iam", "z")


def test_no_files_for_unused_kinds_of_methods():
    minimized = {"am": {"minimize": True}, "z": {"minimize": True, "objective": "iam_z"}}
    files = JobFiles(study(**CHANGES | {"experiments__first__methods": minimized}))
    assert files.across("{layer}.{method}")(wildcards()) == of_all("am", "z")
    assert files.across_maximizing("{layer}.{method}")(wildcards()) == []
    assert files.across_iam("{layer}.{method}")(wildcards()) == []


def test_only_required_inputs_of_a_method_are_read(files):
    def inputs(method):
        job = wildcards(layer="logits", method=method)
        return files.dataset_to_start_from(job), files.moments_to_standardize(job)

    assert inputs("am") == ("data/datasets/digits.h5", [])
    assert inputs("iam") == ([], [])
    assert inputs("z") == ([], f"{R}/moments/mean.csv")


def test_substitute_images_are_separate_unless_every_unit_is_a_target(files):
    assert files.images_of("first", ["hidden1", "logits"], ["am"]) == [
        *(f"{R}/images/{layer}.am.h5" for layer in ("hidden1", "logits")),
        f"{R}/images/hidden1.am.substitutes.h5",
    ]


def test_number_of_blocks_follows_the_targets(files, tmp_path):
    taps = tmp_path / "taps.json"
    taps.write_text(json.dumps([{"layer": "hidden1", "units": 128}, {"layer": "logits", "units": 10}]))

    def blocks(layer):
        return files.blocks(wildcards(layer=layer, method="am"), str(taps))

    assert blocks("hidden1") == [f"{R}/blocks/hidden1.am.{block}.h5" for block in range(2)]
    assert len(blocks("logits")) == 2


def test_a_network_without_a_dataset_has_no_files_from_real_images():
    bare = study(
        networks__small={**RESNET, "input": [3, 64, 64]},
        experiments__first__layers=["conv1"],
        experiments__first__analyses=["natural", "cumulative"],
    )
    files = JobFiles(bare)
    assert files.real("results/{experiment}/natural.csv")(wildcards()) == files.natural(wildcards()) == []
    assert files.across_real("{layer}")(wildcards()) == files.cumulative(wildcards()) == files.claims(wildcards()) == []
    assert not [path for path in final_files(bare, "first") if "natural" in path or "claims" in path]


def test_checkpoints_of_one_training_follow_one_another():
    several = study(
        networks__small__epochs=[0, 2, 4], networks__small__training={"epochs": 4}, experiments__first__analyses=[]
    )
    files = JobFiles(several)
    earlier = {name: files.earlier(Wildcards(fromdict={"network": name})) for name in several.networks}
    assert list(earlier.values()) == [
        [],
        ["data/checkpoints/small-epoch0.pt"],
        ["data/checkpoints/small-epoch2.pt"],
    ]
    assert files.last(Wildcards(fromdict={"network": "small-epoch0"})) == "small-epoch4"
    over = files.over_epochs("{experiment} {network}")(Wildcards(fromdict={"entry": "first"}))
    assert over == [f"first-epoch{epoch} small-epoch{epoch}" for epoch in (0, 2, 4)]


def test_the_claiming_experiment_precedes_those_it_is_compared_with():
    both = study(experiments__second={"network": "small", "layers": ["logits"]})
    both.experiments["second"]["claims"] = {"C16": {"layers": ["logits"], "experiments": ["first", "second"]}}
    compared = JobFiles(both).compared("{experiment} {network} {dataset}")(Wildcards(fromdict={"experiment": "second"}))
    assert compared == ["second small digits", "first small digits"]


# --- settings --------------------------------------------------------------------------------------------------------


def test_job_settings_contain_the_batch_of_the_layer(settings):
    images = {layer: json.loads(settings.images(wildcards(layer=layer))) for layer in ("hidden1", "logits")}
    assert (images["hidden1"]["batch"], images["logits"]["batch"]) == (32, 4)
    assert images["hidden1"]["units"] == {"sample": 8, "seed": 0} and images["logits"]["units"] == "all"
    assert not images["logits"].keys() & {"block", "substitutes"}
    assert settings.block(wildcards(block="1")) == ["--block", "1", 5]
    assert json.loads(settings.scale(wildcards(layer="logits")))["batch"] == 4
    planted = json.loads(settings.planted(wildcards(layer="logits")))
    assert (planted["batch"], planted["start_seed"], planted["units"]) == (4, 0, 16)
    assert json.loads(settings.recipe(wildcards(method="z")))["objective"] == "iam_z"
    assert settings.user_function(wildcards()) == "" and settings.layers(wildcards()) == ["hidden1", "logits"]
    assert settings.first_iam(wildcards()) == "iam"
    assert json.loads(settings.first_iam_recipe(wildcards()))["objective"] == "iam"


def test_cumulative_ablation_defaults_to_the_images_of_the_ablation():
    def images(**cumulative):
        settings = JobSettings(
            study(experiments__first__ablation={"images": 70}, experiments__first__cumulative=cumulative)
        )
        return json.loads(settings.cumulative(wildcards()))["images"]

    assert images(images=None) == 70 and images(images=9) == 9


def test_an_ablation_of_targets_names_their_units():
    def units(which):
        layers = {"hidden1": {"units": [3, 4]}}
        settings = JobSettings(study(experiments__first__layers=layers, experiments__first__ablation={"units": which}))
        return json.loads(settings.ablation(wildcards(layer="hidden1")))["units"]

    assert units("all") == "all" and units("targets") == [3, 4]


# --- wildcards -------------------------------------------------------------------------------------------------------


def test_wildcards_match_the_names_of_the_study_and_no_others():
    assert alternatives(["a.b", "c"]) == r"a\.b|c" and alternatives([]) == "(?!)"
    patterns = constraints(study(**CHANGES))
    assert patterns["method"] == "am|iam|z" and patterns["layer"] == "hidden1|logits" and patterns["entry"] == "(?!)"


def test_wildcards_of_an_experiment_match_jointly():
    resolved = study(**CHANGES)
    assert values_of(resolved, ["dataset"]) == [{"dataset": "digits"}] and values_of(resolved, []) == [{}]
    assert values_of(resolved, ["experiment", "layer"]) == [
        {"experiment": "first", "layer": "hidden1"},
        {"experiment": "first", "layer": "logits"},
    ]


# --- programs --------------------------------------------------------------------------------------------------------


def test_scripts_are_named_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert JobCode(ROOT, lambda wildcards: "").program("units") == "python scripts/tables/units.py"
    root = tmp_path / "a {b} c"
    (root / "scripts/tables").mkdir(parents=True)
    (root / "scripts/tables/units.py").touch()
    monkeypatch.chdir(tmp_path)
    command = JobCode(root, lambda wildcards: "").program("units")
    # Snakemake formats it.
    assert shlex.split(command.format()) == ["python", "a {b} c/scripts/tables/units.py"]


def test_the_code_of_a_job_is_that_of_its_program_and_of_the_users_network():
    functions = {"a": "", "b": "configs.own_network:network"}
    code = JobCode(ROOT, functions.__getitem__)
    plain = code_digest(ROOT / "scripts/data/taps.py", ROOT)
    assert code.digest("taps") == code.with_network("taps")("a") == plain
    assert code.with_network("taps")("b") == plain + user_code_digest(functions["b"], ROOT)


# --- the machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "tools", "on_cluster", "count"),
    [
        ("cpu", True, True, 0),
        ("cuda", False, False, 1),
        ("auto", True, False, 1),
        ("auto", False, True, 1),
        ("auto", 0, 0, 0),
    ],
)
def test_jobs_request_a_gpu_where_one_may_exist(monkeypatch, device, tools, on_cluster, count):
    monkeypatch.setattr(job_resources.shutil, "which", lambda name: "/bin/x" if tools else None)
    monkeypatch.setattr(job_resources.sys, "platform", "linux")
    assert gpus_per_job(study(device=device), on_cluster) == count


def test_library_is_first_on_the_python_path_of_jobs(tmp_path):
    assert job_environment(tmp_path, {"PYTHONPATH": "x"})["PYTHONPATH"] == f"{tmp_path}{os.pathsep}x"
    assert job_environment(tmp_path, {})["PYTHONPATH"] == str(tmp_path)


def test_wrong_working_directory_and_missing_disks_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"or with --directory {ROOT}"):
        refuse_wrong_folder(ROOT)
    (tmp_path / "scripts/data").mkdir(parents=True)
    (tmp_path / "scripts/data/dataset.py").touch()
    refuse_wrong_folder(ROOT)
    (tmp_path / "logs").symlink_to("/nowhere/logs")
    with pytest.raises(UserError, match=r"logs is a link to /nowhere/logs, which is not there\. Mount the disk"):
        refuse_wrong_folder(ROOT)


# --- single jobs -----------------------------------------------------------------------------------------------------


class Job:
    """What the checks read of a job of Snakemake's."""

    def __init__(self, rule, **values):
        self.rule = type("Rule", (), {"name": rule})
        self.wildcards = Wildcards(fromdict=values)


@pytest.mark.parametrize(
    ("rule", "layer", "words"),
    [
        (
            "images",
            "hidden1",
            'experiments.first.images.batch (32 now), for this layer alone by {"hidden1":16}.',
        ),
        ("images", "logits", 'experiments.first.images.batch (4 now), for this layer alone by {"logits":2}.'),
        ("units", None, ""),
    ],
)
def test_out_of_memory_message_names_the_setting_to_lower(rule, layer, words):
    checks = JobChecks(study(**CHANGES), ROOT, print)
    advice = checks.to_lower(Job(rule, experiment="first", **({"layer": layer} if layer else {})))
    assert advice == (f"Lower {words}" if words else "")


def test_a_training_that_runs_out_of_memory_names_the_entry_of_its_network():
    several = study(networks__small__seeds=[0, 1])
    advice = JobChecks(several, ROOT, print).to_lower(Job("checkpoint", network="small-seed1"))
    assert advice.startswith("Lower networks.small.training.batch (")
