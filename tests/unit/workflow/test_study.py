"""The study of a config in a project's folder: what is checked before anything runs, and how it is described."""

import copy
from pathlib import Path

import pytest
import yaml
from configs_by_hand import STUDY, study
from PIL import Image
from projects import ROOT

from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.workflow import known_layers
from unitscope.workflow.ledger import Ledger, Run
from unitscope.workflow.provenance import code_digest
from unitscope.workflow.study import (
    check_layers,
    checked,
    contents,
    load_study,
    refuse_missing_data,
    refuse_missing_files,
)


@pytest.fixture(scope="module", autouse=True)
def code():
    """Read the library's code once, in the folder where that is remembered: lists of layers belong to it."""
    code_digest(Path(known_layers.__file__), ROOT)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name="study.yaml", config=None, **changes):
    """Write a config with values set at dotted paths, and return its path."""
    content = copy.deepcopy(STUDY if config is None else config)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    Path(name).write_text(yaml.safe_dump(content))
    return Path(name)


# --- loading ---------------------------------------------------------------------------------------------------------


def test_patterns_stand_for_the_networks_layers(here):
    path = write(networks__small__options={"widths": [6, 4]}, experiments__first__layers=["hidden*"])
    assert list(load_study(here, path).experiments["first"]["layers"]) == ["hidden1", "hidden2"]
    assert list(load_study(here, path, layers=False).experiments["first"]["layers"]) == ["hidden*"]


def test_later_configs_are_laid_over_the_first(here):
    over = write("over.yaml", {"experiments": {"first": {"layers": ["logits"]}}, "device": "cpu"})
    merged = load_study(here, write(), over)
    assert merged.device == "cpu" and list(merged.experiments["first"]["layers"]) == ["logits"]
    with pytest.raises(UserError, match=r"^study\.yaml and over\.yaml: experiments\.first\.layers names 'hidden9'"):
        load_study(here, write(), write("over.yaml", {"experiments": {"first": {"layers": ["hidden9"]}}}))


def test_error_message_names_the_file_and_the_line(here):
    with pytest.raises(UserError, match=r"study\.yaml, line \d+: experiments\.first.*'lyers'.*'layers'"):
        load_study(here, write(experiments__first__lyers=["logits"]))


def test_layers_that_do_not_exist_are_refused_unless_only_the_config_is_read(here):
    path = write(experiments__first__layers={"hidden1": {"units": [0, 128]}})
    with pytest.raises(UserError, match=r"^study\.yaml: experiments\.first\.layers: unit 128 of hidden1"):
        load_study(here, path)
    for options in ({"check": False}, {"layers": False}):
        assert load_study(here, path, **options).experiments["first"]["layers"] == {"hidden1": [0, 128]}


def test_a_network_that_cannot_be_built_is_left_to_its_job(here):
    broken = study(networks__small={"source": "python", "model": "nowhere:network", "dataset": "digits"})
    check_layers(broken, here)


def test_layers_that_depend_on_images_are_left_to_their_job(here):
    for name in ("ash", "beech"):
        (here / "trees" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(here / "trees" / name / "1.png")
    trees = {"source": "image_folder", "path": str(here / "trees")}
    unread = study(datasets__trees=trees, networks__small__dataset="trees", experiments__first__layers=["hidden9"])
    check_layers(unread, here)


def test_the_message_names_the_entry_of_several_trainings(here):
    several = study(networks__small__seeds=[0, 1], experiments__first__layers=["hidden9"])
    assert list(several.experiments) == ["first-seed0", "first-seed1"]
    with pytest.raises(UserError, match=r"^experiments\.first\.layers names 'hidden9'"):
        check_layers(several, here)


# --- files -----------------------------------------------------------------------------------------------------------

USER_NETWORK = {"source": "python", "model": "mine:network", "files": ["weights.bin"], "dataset": "digits"}


def test_files_of_a_network_have_to_exist():
    user_study = study(networks__small=USER_NETWORK)
    with pytest.raises(UserError, match=r"networks\.small\.files: 'weights\.bin' is no file\. Correct the path"):
        refuse_missing_files(user_study)
    Path("weights.bin").mkdir()
    with pytest.raises(UserError, match="is no file"):
        refuse_missing_files(user_study)
    Path("weights.bin").rmdir()
    Path("weights.bin").touch()
    refuse_missing_files(user_study)


def test_raw_data_have_to_exist_until_the_data_set_is_written():
    arrays = study(datasets__mine={"source": "arrays", "path": "raw.npz"})
    with pytest.raises(UserError, match=r"datasets\.mine\.path: no such file or folder: raw\.npz\. Correct"):
        refuse_missing_data(arrays)
    Path("data/datasets").mkdir(parents=True)
    Path("data/datasets/mine.h5").touch()
    refuse_missing_data(arrays)
    # It may be in DVC's cache alone.
    Ledger().note(Run("key", {"data/datasets/mine.h5": Contents(None).sha256_and_md5("data/datasets/mine.h5")}))
    Path("data/datasets/mine.h5").unlink()
    refuse_missing_data(arrays)


def test_a_check_looks_at_the_files_as_well(here):
    assert list(checked(here, write()).experiments) == ["first"]
    path = write(datasets__mine={"source": "arrays", "path": "raw.npz"})
    assert load_study(here, path).datasets.keys() == {"digits", "mine"}
    with pytest.raises(UserError, match=r"^study\.yaml: datasets\.mine\.path: no such file"):
        checked(here, path)


# --- description -----------------------------------------------------------------------------------------------------


def test_a_study_is_described_in_one_line():
    assert contents(study()) == "1 data set, 1 network, 1 experiment (first: 2 layers, 2 methods)"
    one = study(experiments__first__layers=["logits"], experiments__first__methods={"am": {}})
    assert contents(one) == "1 data set, 1 network, 1 experiment (first: 1 layer, 1 method)"


def test_only_the_first_three_experiments_are_described():
    chosen = {"network": "small", "layers": ["logits"]}
    several = study(datasets__more={"source": "cifar10"}, experiments=dict.fromkeys("abc", chosen))
    assert contents(several).startswith("2 data sets, 1 network, 3 experiments (a: ") and "..." not in contents(several)
    many = study(experiments=dict.fromkeys("abcd", chosen))
    assert contents(many).endswith("; c: 1 layer, 2 methods; ...)") and "d:" not in contents(many)
