"""The list of layers of a network, before it is trained; and the lists that are remembered from call to call."""

import copy
import json
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from configs_by_hand import STUDY, study
from PIL import Image
from projects import ROOT
from real_images import collected, data_settings

from unitscope.data.datasets import write_dataset
from unitscope.errors import UserError
from unitscope.probing.layer import Layer
from unitscope.storage.contents import read_lines, settled
from unitscope.workflow import known_layers as module
from unitscope.workflow.known_layers import (
    OUTLINES,
    REMEMBERED,
    Layers,
    network_layers,
    refuse_wrong_targets,
)
from unitscope.workflow.layer_listing import listing, table
from unitscope.workflow.provenance import code_digest

USER_NETWORK = """
import pathlib
from torch import nn

def network(shape, classes):
    width = int(pathlib.Path("width.txt").read_text())
    first, last = nn.Linear(shape[0] * shape[1] * shape[2], width), nn.Linear(width, classes)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), last)
"""


@pytest.fixture(scope="module", autouse=True)
def code():
    """Read the library's code once, in the folder where that is remembered: lists of layers belong to it."""
    code_digest(Path(module.__file__), ROOT)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(here, **changes):
    """Write a config, with the small MLP of 6 and 4 units."""
    content = copy.deepcopy(STUDY)
    content["networks"]["small"]["options"] = {"widths": [6, 4]}
    content["experiments"]["first"] |= changes
    (here / "study.yaml").write_text(yaml.safe_dump(content))
    return here / "study.yaml"


# --- the list --------------------------------------------------------------------------------------------------------


def rows_of(text):
    """Return whether each layer has a star, and the cells of its row."""
    return [(line[0] == "*", line[1:].split()) for line in text.splitlines()]


def test_layers_are_listed_with_a_star_at_those_that_are_chosen(here):
    (text,) = listing(here, config(here), "first")
    assert rows_of(text) == [
        (False, ["layer", "depth", "kind", "units", "map", "activation"]),
        (True, ["hidden1", "1", "linear", "6", "-", "positive"]),
        (False, ["hidden2", "2", "linear", "4", "-", "positive"]),
        (True, ["logits", "3", "linear", "10", "-", "signed"]),
    ]


def test_an_experiment_that_does_not_exist_is_refused(here):
    with pytest.raises(UserError, match=r"study\.yaml has no experiment 'second'; it has first\."):
        list(listing(here, config(here), "second"))


def test_a_layer_that_does_not_exist_is_refused_after_the_list(here):
    lines = listing(here, config(here, layers=["hidden1", "hiden2"]), "first")
    assert len(rows_of(next(lines))) == 4
    with pytest.raises(UserError, match=r"experiments\.first\.layers names 'hiden2'.* Did you mean 'hidden2'\?"):
        list(lines)


def layer(name, size=(8, 9), kind="conv", signed=False):
    return Layer(name, 1, kind, 64, size, signed, probe=None)


def test_columns_are_as_wide_as_the_longest_name():
    long = "features." * 12 + "conv"
    header, first, second = table([layer("a"), layer(long, (), "linear", True)], [long]).splitlines()
    assert first.index("conv") == second.index("linear") == header.index("kind")
    assert second.startswith(f"* {long}  ") and first.startswith("  a  ")
    assert first.split() == ["a", "1", "conv", "64", "8x9", "positive"] and second.split()[-2:] == ["-", "signed"]
    assert header.index("map") == first.index("8x9")


# --- lists that are remembered ---------------------------------------------------------------------------------------


def small(**network):
    return study(networks__small={"model": "mlp", "dataset": "digits", "options": {"widths": [6, 4]}, **network})


def layers_of(root, chosen, **options):
    network = chosen.networks["small"]
    return network_layers(root, network, chosen.datasets.get(network["dataset"]), **options)


def test_layers_are_computed_once_and_then_cached(here):
    layers = layers_of(here, small())
    assert layers == Layers({"hidden1": 6, "hidden2": 4, "logits": 10}, {})
    (row,) = read_lines(REMEMBERED)
    # What is remembered is believed.
    REMEMBERED.write_text(f'["{row[0]}", {{"other": 3}}, {{"x": "why"}}]\n["cut')
    assert layers_of(here, small()) == Layers({"other": 3}, {"x": "why"})
    # What decides nothing about layers leaves the key as it is.
    assert layers_of(here, small(seed=3, training={"epochs": 7})).units == {"other": 3}
    assert layers_of(here, small(options={"widths": [5]})).units == {"hidden1": 5, "logits": 10}
    assert len(list(read_lines(REMEMBERED))) == 2


def test_layers_of_a_user_network_follow_changes_of_its_files(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    (here / "ownlayers.py").write_text(USER_NETWORK)
    chosen = small(source="python", model="ownlayers:network", options={}, files=["width.txt"])
    for width in (3, 5):
        Path("width.txt").write_text(str(width))
        assert list(layers_of(here, chosen).units.values()) == [width, 10]


def folder(here, **settings):
    """Return a study on a folder of two classes of coloured images, 9 pixels wide."""
    for name in ("ash", "beech"):
        (here / "trees" / name).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3), np.uint8)
            Image.fromarray(pixels).save(here / "trees" / name / f"{number}.png")
    trees = {"source": "image_folder", "path": str(here / "trees"), **settings}
    network = {"model": "mlp", "dataset": "trees", "options": {"widths": [6]}}
    return study(datasets={"trees": trees}, networks__small=network, experiments__first__layers=["hidden1"])


def test_images_are_read_only_where_they_may_be(here):
    chosen = folder(here)
    assert layers_of(here, chosen, with_data=False) is None
    assert layers_of(here, chosen).units == {"hidden1": 6, "logits": 2}
    assert layers_of(here, folder(here, crop=8, mode="L"), with_data=False).units == {"hidden1": 6, "logits": 2}


def test_shape_of_a_stored_data_set_is_read_once(here):
    settings = {
        **{"source": "image_folder", "path": str(here / "trees"), "mode": "RGB", "test_fraction": 0.5, "seed": 0},
    }
    chosen = folder(here, **{key: value for key, value in settings.items() if key not in ("source", "path")})
    stored = here / "data/datasets/trees.h5"
    stored.parent.mkdir(parents=True)
    write_dataset(stored, collected(settings))
    # Later changes have other times.
    while not settled(stored.stat().st_ctime_ns):
        time.sleep(0.005)
    assert layers_of(here, chosen, with_data=False).units == {"hidden1": 6, "logits": 2}
    ((key, outline),) = read_lines(OUTLINES)
    assert outline == [[3, 9, 9], 2]
    # What is remembered is believed.
    OUTLINES.write_text(json.dumps([key, None]) + "\n")
    assert layers_of(here, chosen, with_data=False) is None
    # Under other settings it will be written again, and says nothing.
    grey = folder(here, mode="L", test_fraction=0.5)
    assert layers_of(here, grey, with_data=False) is None
    assert data_settings(settings) == chosen.datasets["trees"]


# --- targets ---------------------------------------------------------------------------------------------------------


def test_targets_have_to_be_units_of_their_layer():
    available = Layers({"a": 4, "b": 2}, {"c": "it is shared"})
    refuse_wrong_targets({"a": [0, 3], "b": "all"}, available, "mlp", "experiments.x.layers")
    refuse_wrong_targets({"a": {"sample": 100, "seed": 0}}, available, "mlp", "experiments.x.layers")
    with pytest.raises(UserError, match=r"experiments\.x\.layers: unit 4 of a is asked for.* units 0 to 3\."):
        refuse_wrong_targets({"b": [1], "a": [0, 4, 9]}, available, "mlp", "experiments.x.layers")
    with pytest.raises(UserError, match=r"names 'c', which cannot be analyzed in the network mlp: it is shared\."):
        refuse_wrong_targets({"c": "all"}, available, "mlp", "experiments.x.layers")
