"""The summary at the end of a run: a table per experiment, its figures, its page, and what rounding changed."""

import json

import numpy as np
import pytest
import scores_by_hand as by_hand
from configs_by_hand import study

from unitscope.config.registry import OVERVIEWS
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import create_hdf5
from unitscope.tables import summary_text
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow.ledger import versions
from unitscope.workflow.run_summary import figures, rounding, summary

LAYERS = {"hidden1": 6, "logits": 5}


def experiment(layers=("hidden1",), methods=("am",), minimize=False, **settings):
    return {
        "layers": dict.fromkeys(layers, "all"),
        "methods": {method: {"minimize": minimize} for method in methods},
        "analyses": [],
    } | settings


def images(folder, name, target_responses, moved, units=(0, 2), preactivations=None):
    """Write images of units: the responses of the units to their own image, and by how much rounding moves their RS.

    Both are (seeds, units with an image).
    """
    responses = np.full((len(target_responses), len(units), 3), 9.0, np.float32)
    responses[:, np.arange(len(units)), list(units)] = target_responses
    folder.mkdir(exist_ok=True)
    with create_hdf5(folder / f"{name}.h5", {}) as file:
        file["units"] = list(units)
        file["responses"] = responses
        file["preactivations"] = responses if preactivations is None else -responses
        file["rounding"] = np.array(moved, np.float32)


# --- rounding --------------------------------------------------------------------------------------------------------


def test_moved_images_are_counted_over_layers_and_methods(tmp_path):
    images(tmp_path, "hidden1.am", [[1, 2], [3, 4]], [[0.25, 0], [0, 0]])
    images(tmp_path, "hidden1.iam", [[1, 2]], [[0, 0.5]])
    images(tmp_path, "logits.am", [[1, 2]], [[0, 0]])
    images(tmp_path, "elsewhere.am", [[1, 2]], [[0.75, 0.75]])
    text = rounding(tmp_path, experiment(LAYERS, ("am", "iam")))
    assert "3 of 8 images" not in text and "2 of 8 images" in text and "0.500" in text


def test_images_of_silent_units_have_no_rs_to_be_moved(tmp_path):
    images(tmp_path, "hidden1.am", [[1, 0]], [[0.125, 0.5]])
    text = rounding(tmp_path, experiment())
    assert "1 of 1 images" in text and "0.125" in text


@pytest.mark.parametrize(("minimize", "count"), [(False, "0 of 0 images"), (True, "2 of 2 images")])
def test_images_that_minimize_are_compared_by_preactivations(tmp_path, minimize, count):
    # The units' responses to their own images are below 0, and so their negated preactivations above.
    images(tmp_path, "hidden1.am", [[-1, -2]], [[0.125, 0.5]])
    assert count in rounding(tmp_path, experiment(minimize=minimize))


def test_images_that_are_kept_elsewhere_are_passed_over(tmp_path):
    text = rounding(tmp_path / "nowhere", experiment(LAYERS))
    assert "0 of 0 images" in text and "0.000" in text


# --- figures ---------------------------------------------------------------------------------------------------------


def draw(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.png").touch()
        (folder / f"{name}.pdf").touch()


def test_figures_of_the_experiment_are_listed_and_no_others(tmp_path):
    draw(tmp_path, *OVERVIEWS, "natural", "graph", "my_own")
    assert figures(tmp_path, experiment(), "digits") == [f"{tmp_path}/{name}.png" for name in sorted(OVERVIEWS)]
    with_natural = experiment(analyses=["natural"])
    assert f"{tmp_path}/natural.png" in figures(tmp_path, with_natural, "digits")
    # Not drawn.
    assert f"{tmp_path}/natural_z.png" not in figures(tmp_path, with_natural, "digits")


def test_without_a_data_set_there_are_no_overviews(tmp_path):
    draw(tmp_path, *OVERVIEWS, "hidden1.am.sheet")
    assert figures(tmp_path, experiment(), None) == [f"{tmp_path}/*.sheet.png (1)"]


def test_figures_of_layers_are_counted_by_kind(tmp_path):
    draw(tmp_path, "hidden1.am.sheet", "hidden1.iam.sheet", "logits.am.sheet", "hidden1.am.responses")
    draw(tmp_path, "other.am.sheet", "hidden1.old.sheet")
    two_methods = experiment(LAYERS, ("am", "iam"))
    assert figures(tmp_path, two_methods, "digits") == [
        f"{tmp_path}/*.sheet.png (3)",
        f"{tmp_path}/*.responses.png (1)",
    ]
    assert figures(tmp_path / "nowhere", two_methods, "digits") == []


# --- whole -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Return the folder of the results of two experiments, in a project without a lock file."""
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        _, units, layers = by_hand.experiment(
            LAYERS if name == "first" else {"logits": 7}, permutations=9, resamples=20
        )
        write_table(tmp_path / name / "units.csv", units, UnitsTable)
        write_table(tmp_path / name / "layers.csv", layers, LayersTable)
    images(tmp_path / "first/images", "hidden1.am", [[1, 2]], [[0.25, 0]])
    draw(tmp_path / "second/figures", "depth", "logits.am.sheet")
    return tmp_path


STUDY = study(experiments__second={"network": "small", "layers": ["logits"]})


def test_each_experiment_has_its_table_its_figures_and_its_page(finished):
    text = "\n".join(summary(STUDY, finished))
    first, second = text.split("\nsecond\n")
    assert first.startswith("\nfirst\n")
    _, units, layers = by_hand.experiment(LAYERS, permutations=9, resamples=20)
    assert summary_text.summary(units, layers) in first
    assert "1 of 2 images" in first and "0 of 0 images" in second
    assert f"  {finished}/second/figures/depth.png\n  {finished}/second/figures/*.sheet.png (1)\n" in second
    assert "figures/" not in first
    assert first.rstrip().endswith(f"{finished}/first/atlas.html")
    assert second.rstrip().endswith(f"{finished}/second/atlas.html")


def test_files_of_other_versions_are_counted_last(finished):
    row = {"key": "k", "sha256": "s", "md5": "m"}
    versions_by_path = {"a": "python 2.7.18", "b": "python 2.7.18", "c": versions()}
    text = "".join(
        json.dumps({"path": path, **row, "versions": recorded}) + "\n" for path, recorded in versions_by_path.items()
    )
    (finished / "made.lock").write_text(text)
    *_, last = summary(STUDY, finished)
    assert last.startswith("\n2 files were made with python 2.7.18 (now ") and last.endswith(").")
    (finished / "made.lock").unlink()
    assert "2.7.18" not in "".join(summary(STUDY, finished))
