"""Training time: which experiments belong together, what is joined, the figure, and small studies end to end."""

import copy
import re

import networkx as nx
import numpy as np
import pytest
import scores_by_hand as by_hand
from configs_by_hand import study
from figure_texts import MANY, STYLE, all_texts, assert_readable
from projects import SMALL, Project, read_result

from unitscope.config.resolve import networks_of_training, over_epochs
from unitscope.errors import UserError
from unitscope.figures import training_figures
from unitscope.scores.score_names import RS_SCORES
from unitscope.storage.records import read_json
from unitscope.tables.training_time import joined, training_rows

LAYERS = {"conv1": 12, "hidden": 12}


def test_checkpoints_are_grouped_by_config_entry():
    assert over_epochs(study(networks__small__seeds=[0, 7])) == {}
    assert over_epochs(study(networks__small__epochs=[5])) == {}
    groups = over_epochs(study(networks__small__seeds=[0, 7], networks__small__epochs=[1, 5]))
    assert groups == {"first": ["first-seed0-epoch1", "first-seed0-epoch5", "first-seed7-epoch1", "first-seed7-epoch5"]}
    # One of several checkpoints, named by itself, is no course of a training.
    assert over_epochs(study(networks__small__epochs=[1, 5], experiments__first__network="small-epoch5")) == {}


def test_training_folder_must_not_collide_with_an_experiment():
    other = {"network": "small", "layers": ["hidden1"]}
    with pytest.raises(UserError, match=r"'first\.training'"):
        study(
            networks__small__epochs=[1, 5],
            networks__other={"model": "mlp", "dataset": "digits"},
            **{"experiments__first.training": {**other, "network": "other"}},
        )


def test_the_checkpoints_of_one_training():
    networks = study(networks__small__seeds=[0, 7], networks__small__epochs=[5, 1])
    assert networks_of_training(networks, "small-seed7-epoch5") == ["small-seed7-epoch1", "small-seed7-epoch5"]
    assert networks_of_training(study(networks__small__seeds=[0, 7]), "small-seed7") == ["small-seed7"]


def checkpoint(epoch, seed, constant=(), layers=LAYERS):
    """Return the rows of a checkpoint by hand."""
    _, units, layers = by_hand.experiment(layers, constant=constant)
    record = {"settings": {"seed": seed}, "history": [{}] * epoch, "test": {"loss": 1.0, "accuracy": epoch / 20}}
    return units, layers, list(training_rows(units, layers, record))


def test_one_row_per_layer_method_and_score():
    units, layers, rows = checkpoint(3, 7)
    assert [(row["layer"], row["method"], row["score"]) for row in rows] == [
        (layer, method, score) for layer in LAYERS for method in by_hand.METHODS for score in RS_SCORES
    ]
    row = next(row for row in rows if (row["layer"], row["method"], row["score"]) == ("hidden", "iam", "rs_z"))
    alive = (units["layer"] == "hidden") & ~units["dead"]
    assert row["median"] == np.nanmedian(units["rs_z_iam"][alive])
    assert row["selectivity"] == np.nanmedian(units["selectivity"][alive])
    assert (row["epoch"], row["seed"], row["test_accuracy"], row["dead"], row["units"]) == (3, 7, 0.15, 1, 12)
    same = (layers["layer"] == "hidden") & (layers["method"] == "iam") & (layers["y"] == "rs_z")
    assert row["spearman"] == layers["spearman"][same & (layers["x"] == "selectivity")]


@pytest.mark.parametrize("seeds", [[0], [0, 3]])
def test_the_figure_shows_every_training(seeds):
    rows = [row for seed in seeds for epoch in (12, 0, 3) for row in checkpoint(epoch, seed, ("hidden",))[2]]
    table = joined(iter(rows))
    # By seed, then by epoch, whatever the order in which they come.
    assert table["epoch"].reshape(len(seeds), 3, -1)[:, :, 0].tolist() == [[0, 3, 12]] * len(seeds)
    figure = training_figures.training_time(STYLE, table)
    assert_readable(figure)
    assert ("2 trainings" in " ".join(all_texts(figure).split())) == (len(seeds) > 1)
    accuracy = figure.axes[0].lines
    assert len(accuracy) == len(seeds)
    assert accuracy[0].get_xdata().tolist() == [0, 1, 2]
    assert accuracy[0].get_ydata().tolist() == [0, 0.15, 0.6]
    # In `hidden` RS is constant: no line, not one at 0.
    spearman = next(axes for axes in figure.axes if axes.get_title(loc="left") == "ρ of RS, AM").lines[1:]
    assert np.isfinite(spearman[0].get_ydata()).all() and np.isnan(spearman[-1].get_ydata()).all()


def test_figure_of_a_deep_network_is_readable():
    rows = [row for epoch in (0, 1, 5, 100) for row in checkpoint(epoch, 0, layers=MANY)[2]]
    assert_readable(training_figures.training_time(STYLE, joined(iter(rows))))


# --- end to end ------------------------------------------------------------------------------------------------------


@pytest.mark.verify
def test_a_study_over_epochs_with_graphs_and_inhibition(tmp_path):
    config = copy.deepcopy(SMALL)
    config["networks"]["small"] |= {"epochs": [0, 1, 2], "training": {"epochs": 2}}
    config["experiments"]["small"] |= {"analyses": ["graph", "inhibition"], "layers": ["hidden1", "logits"]}
    down = {"objective": "am", "target": "preactivation", "minimize": True, "steps": 4, "points": 2}
    config["experiments"]["small"]["methods"]["down"] = down
    project = Project.create(tmp_path / "project", config)
    project.snakemake()
    results = project.folder / "results"
    training = read_result(results / "small.training/training.csv")
    assert (results / "small.training/training_time.png").is_file()
    assert training["epoch"].tolist() == sorted(training["epoch"].tolist()) and set(training["epoch"]) == {0, 1, 2}
    for epoch in (0, 1, 2):
        record = read_json(project.folder / f"data/checkpoints/small-epoch{epoch}.json")
        at_epoch = training["epoch"] == epoch
        assert set(training["test_accuracy"][at_epoch]) == {record["test"]["accuracy"]}
        layers = read_result(results / f"small-epoch{epoch}/layers.csv")
        pairs = (layers["x"] == "selectivity") & np.isin(layers["y"], RS_SCORES)
        np.testing.assert_array_equal(
            training["spearman"][at_epoch], layers["spearman"][pairs & (layers["method"] != "")]
        )

    # One training: each goes on from the one before, the last clears up, and alone it comes to the same.
    later = "data/checkpoints/small-epoch2.pt"
    log = project.folder / "logs/checkpoints/small-epoch2.log"
    assert "goes on behind epoch 1" in log.read_text()
    assert not [path for path in (project.folder / ".resume").rglob("*") if path.is_file()]
    trained = (project.folder / later).read_bytes()
    (project.folder / later).unlink()
    project.run("snakemake", "--cores", "2", "--", later)
    assert (project.folder / later).read_bytes() == trained and "goes on" not in log.read_text()

    folder = results / "small-epoch1"
    units = read_result(folder / "units.csv")
    graphs = read_result(folder / "graphs.csv")
    assert list(zip(graphs["layer"], graphs["method"], graphs["score"], strict=True)) == [
        (layer, "iam", score) for layer in ("hidden1", "logits") for score in RS_SCORES
    ]
    # RS counts the same edges at their beginning, where no unit is dead.
    written = nx.read_graphml(folder / "graph/hidden1.iam.graphml")
    assert written.number_of_nodes() == 12 and written.graph["edges"] == graphs["edges"][0]
    in_layer = units["layer"] == "hidden1"
    if not units["dead"][in_layer].any():
        assert graphs["edges"][0] == round(12 * np.nansum(units["rs_iam"][in_layer]))
    signed = (graphs["layer"] == "logits") & (graphs["score"] == "rs_q")
    assert graphs["reason"][signed] == "activations are signed" and np.isnan(graphs["gini"][signed]).all()

    inhibition = read_result(folder / "inhibition.csv")
    signed = inhibition["layer"] == "logits"
    assert np.isnan(inhibition["inhibited"][signed]).all() and inhibition["reason"][signed].all()
    assert np.isfinite(inhibition["inhibited"][~signed]).any()
    assert (folder / "figures/inhibition.png").is_file() and (folder / "figures/graph.pdf").is_file()

    # Verdicts of each checkpoint, and of the training; a minimum has none.
    claims = read_result(folder / "claims.csv")
    assert set(claims["claim"]) == {"A7", "A8"} and set(claims["method"]) == {"iam"}
    training_claims = read_result(results / "small.training/claims.csv")
    assert set(training_claims["claim"]) == {"A9"} and set(training_claims["experiment"]) == {"small-epoch2"}
    assert len(training_claims["claim"]) == 2 * 2 * len(RS_SCORES) and "down" not in training_claims["method"]
    assert (results / "small.training/training_time.pdf").is_file()
    # How figures look decides nothing.
    project.change("experiments.small.figures", {"dpi": 50})
    output = project.run("snakemake", "-n")
    planned = set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE))
    assert planned & {"inhibition_figure", "training_time_figure", "graphs"} and not planned & {
        *("claims", "training_claims", "training_time", "inhibition", "graph", "atlas"),
    }
    project.change("experiments.small.figures", {})

    # RS of the minimum; nothing is known of its scale.
    lowest = read_result(folder / "substitution/hidden1.down.csv")
    assert (np.isfinite(lowest["rs"]) == (lowest["seeds"] > 0)).all() and lowest["seeds"].any()
    assert np.isnan(lowest["rs_z"]).all() and np.isnan(lowest["rs_q"]).all()
    assert "Nothing to be done" in project.run("snakemake", "-n")
