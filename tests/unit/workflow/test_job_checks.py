"""What is said of single jobs: why one cannot run here, by which settings it is known, what to lower."""

import hashlib
from pathlib import Path

import pytest
import yaml
from configs_by_hand import STUDY, study
from snakemake.iocontainers import InputFiles, Params, Wildcards

from unitscope.storage.contents import Contents
from unitscope.workflow.jobs.job_checks import JobChecks
from unitscope.workflow.ledger import Ledger, Run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Job:
    """What the checks read of a job of Snakemake's."""

    def __init__(self, rule, output="x.h5", inputs=None, params=None, **wildcards):
        self.rule = type("Rule", (), {"name": rule})
        self.output = [output]
        self.input = InputFiles(fromdict=inputs or {})
        self.params = Params(fromdict=params or {})
        self.wildcards = Wildcards(fromdict=wildcards)


FOLDER = {"datasets__trees": {"source": "image_folder", "path": "raw"}, "networks__small__dataset": "trees"}
DATASET = {"output": "data/datasets/trees.h5", "dataset": "trees"}


def checks(lines=None, **changes):
    """Return the checks of a study; what they tell goes into a list."""
    return JobChecks(study(**changes), Path.cwd(), (lines if lines is not None else []).append)


def write_raw(text="pixels"):
    Path("raw/ash").mkdir(parents=True, exist_ok=True)
    Path("raw/ash/1.png").write_text(text)
    Path("raw/ash/notes.txt").write_text("mine")


# --- raw data --------------------------------------------------------------------------------------------------------


def test_a_data_set_counts_by_its_raw_images():
    write_raw()
    digest = checks(**FOLDER).source(Wildcards(fromdict={"dataset": "trees"}))
    job = Job("dataset", **DATASET)
    assert digest and checks(**FOLDER).source_now(job) == digest
    Path("raw/ash/notes.txt").write_text("other")
    assert checks(**FOLDER).source_now(job) == digest
    write_raw("others")
    assert checks(**FOLDER).source_now(job) != digest


def test_raw_data_count_as_they_were_when_the_run_began():
    write_raw()
    one, wildcards = checks(**FOLDER), Wildcards(fromdict={"dataset": "trees"})
    digest = one.source(wildcards)
    write_raw("others")
    assert one.source(wildcards) == digest != one.source_now(Job("dataset", **DATASET))


def test_other_jobs_and_built_in_data_read_no_raw_data():
    assert checks().source(Wildcards(fromdict={"dataset": "digits"})) == ""
    assert checks().source_now(Job("checkpoint", network="small")) == ""
    assert checks().refusal(Job("dataset", dataset="digits")) == ""


def test_a_job_without_its_raw_data_is_refused_before_anything_is_deleted():
    text = checks(**FOLDER).refusal(Job("dataset", **DATASET))
    assert text.startswith("datasets.trees.path: there is nothing at raw, which data/datasets/trees.h5 needs. ")
    assert text.endswith("Nothing has been deleted.")
    write_raw()
    assert checks(**FOLDER).refusal(Job("dataset", **DATASET)) == ""


def test_a_data_set_whose_raw_data_are_elsewhere_is_named_once():
    Path("data/datasets").mkdir(parents=True)
    Path("data/datasets/trees.h5").write_text("pixels")
    pair = Contents(None).sha256_and_md5("data/datasets/trees.h5")
    Ledger().note(Run("key", {"data/datasets/trees.h5": pair}, "digest of raw"))
    lines = []
    one = checks(lines, **FOLDER)
    for _ in range(2):
        assert one.source(Wildcards(fromdict={"dataset": "trees"})) == "digest of raw"
    assert lines == ["datasets.trees.path: raw is not here; the data set that was made from it is used."]


def test_jobs_that_read_an_index_need_the_images_too():
    indexed = {**FOLDER, "datasets__trees": {**FOLDER["datasets__trees"], "store": "index"}}
    reading = {"inputs": {"dataset": "data/datasets/trees.h5"}, "experiment": "first"}
    text = checks(**indexed).refusal(Job("activations", "results/first/activations.h5", **reading))
    assert text.startswith("datasets.trees.path: there is nothing at raw, which results/first/activations.h5 needs.")
    # Pixels in the data set are enough, as is an index for the layers, and for jobs that read no data set.
    assert checks(**FOLDER).refusal(Job("activations", **reading)) == ""
    assert checks(**indexed).refusal(Job("taps", **reading)) == ""
    assert checks(**indexed).refusal(Job("units", experiment="first")) == ""


# --- weights ---------------------------------------------------------------------------------------------------------


def with_weights(content=b"weights", sha256=None):
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    return checks(
        networks__small={
            **{"model": "mlp", "dataset": "digits", "weights": {"file": "mine.pt", "sha256": sha256}},
            "normalization": {"mean": [0.5], "std": [0.5]},
        }
    ).refusal(Job("checkpoint", "data/checkpoints/small.pt", network="small"))


def test_weights_have_to_be_the_file_of_the_config():
    text = with_weights()
    assert text.startswith("networks.small.weights.file: there is no file mine.pt, which data/checkpoints/small.pt ")
    Path("mine.pt").write_bytes(b"weights")
    assert with_weights() == ""
    digest = hashlib.sha256(b"weights").hexdigest()
    text = with_weights(sha256="0" * 64)
    assert text.startswith(f"networks.small.weights.sha256 of mine.pt is {'0' * 64}, but the file has {digest}.")
    assert text.endswith("Nothing has been deleted.")


def test_a_network_that_is_trained_needs_no_file():
    assert checks().refusal(Job("checkpoint", network="small")) == ""


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "layer", "changes", "words"),
    [
        ("activations", None, {"activations": {"batch": 7}}, "Lower experiments.first.activations.batch (7 now)."),
        ("moments", None, {"activations": {"batch": 7}}, "Lower experiments.first.activations.batch (7 now)."),
        ("cumulative_together", None, {"ablation": {"batch": 9}}, "Lower experiments.first.ablation.batch (9 now)."),
        (
            "joint",
            "logits",
            {"ablation": {"batch": 8}},
            'Lower experiments.first.ablation.batch (8 now), for this layer alone by {"*":8,"logits":4}.',
        ),
        ("images", "logits", {"images": {"batch": 1}}, "1 already: take fewer units in experiments.first."),
        ("ablation", "logits", {"ablation": {"batch": 1}}, "1 already: take fewer images in experiments.first."),
        ("tables", None, {}, ""),
    ],
)
def test_the_setting_to_lower_is_named(rule, layer, changes, words):
    chosen = checks(**{f"experiments__first__{section}": value for section, value in changes.items()})
    text = chosen.to_lower(Job(rule, experiment="first", **({"layer": layer} if layer else {})))
    assert text.endswith(words) and bool(text) == bool(words)


def test_a_network_that_is_not_trained_has_no_batch_to_lower():
    weights = {"file": "mine.pt", "sha256": "0" * 64}
    pretrained = {
        "model": "mlp",
        "dataset": "digits",
        "weights": weights,
        "normalization": {"mean": [0.5], "std": [0.5]},
    }
    assert checks(networks__small=pretrained).to_lower(Job("checkpoint", network="small")) == ""


# --- other configs ---------------------------------------------------------------------------------------------------


def test_settings_leave_out_what_follows_from_code_and_data():
    params = {"settings": '{"steps":3}', "layers": '["a"]', "word": "plain", "number": 3}
    derived = {"code": "abc", "source": "def", "config": "config.yaml", "folder": "{no json"}
    settings = checks().settings(Job("dataset", params={**params, **derived}, dataset="digits"))
    assert settings == {"settings": {"steps": 3}, "layers": ["a"], "word": "plain", "number": 3}


def test_settings_of_an_experiment_name_its_network_layers_and_methods():
    settings = checks().settings(Job("units", params={"code": "abc"}, experiment="first"))
    assert settings == {"network": "small", "layers": ["hidden1", "logits"], "methods": ["am", "iam"]}


@pytest.mark.parametrize(
    ("change", "wildcards", "equal"),
    [
        (None, {"experiment": "first"}, True),
        (("analyses", []), {"experiment": "first"}, True),
        (("readout", "max"), {"experiment": "first"}, False),
        (("readout", "max"), {"network": "small"}, True),
        (("readout", "max"), {"dataset": "digits"}, True),
        (None, {"experiment": "second"}, False),
        (None, {}, False),
    ],
)
def test_another_config_may_describe_the_same(change, wildcards, equal):
    other = {**STUDY, "experiments": {"first": dict(STUDY["experiments"]["first"])}}
    if change:
        other["experiments"]["first"][change[0]] = change[1]
    Path("other.yaml").write_text(yaml.safe_dump(other))
    second = {"network": "small", "layers": ["logits"]}
    chosen = checks(experiments__second=second) if "second" in wildcards.values() else checks()
    assert chosen.is_equal_today(Job("units", **wildcards), "other.yaml") is equal


def test_a_config_that_describes_no_study_equals_none():
    Path("other.yaml").write_text("datasets: [")
    for path in ("other.yaml", "none.yaml"):
        assert not checks().is_equal_today(Job("units", experiment="first"), path)
