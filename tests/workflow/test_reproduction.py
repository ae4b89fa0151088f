"""The page with the paper's figures and claims, written by the real flow from the tables and from nothing else."""

import copy
import io
import re

import numpy as np
import pytest
from PIL import Image
from projects import ROOT, SMALL, Project, read_result

from scripts.paper.memory import benchmarks, jobs_of
from scripts.paper.reproduction import cell, environment
from unitscope.config.registry import ANALYSES
from unitscope.config.resolve import resolve
from unitscope.figures.style import Style
from unitscope.paper.claim_rows import DIVIDED, OTHER_SCORES, effect_texts, verdict_rows
from unitscope.paper.comparison import numbered, reductions, variants
from unitscope.paper.page_columns import MemoryTable, SensitivityTable
from unitscope.paper.page_figures import draw
from unitscope.paper.page_tables import layer_rows, memory_table, network_rows, training_ranges
from unitscope.paper.results import Result
from unitscope.paper.sensitivity import by_length, sensitivity_ranges
from unitscope.scores.score_names import RS_SCORES
from unitscope.stats.effects import interquartile_range
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.records import canonical_json, read_json
from unitscope.tables.number_text import number
from unitscope.tables.table_access import correlation_of
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow.study import load_study

SIZES = """rule,experiment,jobs,peak_mib,seconds
activations,large,1,3210,62
activations,wide,1,1234,41
images,large,13,2345,9
"""


def study():
    config = copy.deepcopy(SMALL)
    network = config["networks"]["small"]
    config["networks"]["longer"] = {**network, "training": {**network["training"], "epochs": 3}}
    network["seeds"] = [0, 1]
    small = config["experiments"]["small"]
    small["layers"] = ["hidden1", "hidden2", "logits"]
    hidden = {"layers": ["hidden1", "hidden2"]}
    small["claims"] = {
        **dict.fromkeys(("C1", "C6", "C8", "C13", "C18"), hidden),
        "C7": {"layers": ["hidden2", "logits"]},
        "C9": {},
        "C16": {"experiments": ["choices-epochs3"]},
    }
    short = {"steps": 2, "points": 2}
    config["experiments"]["choices-seed0"] = {
        "network": "small-seed0",
        "layers": {"hidden1": {"units": [1, 4, 5, 9]}},
        "ablation": {"units": "targets", "images": 100},
        "methods": {"am": {"steps": 4, "points": 2}, "am-steps2": {"objective": "am", **short}},
        "statistics": small["statistics"],
    }
    config["experiments"]["choices-epochs3"] = {
        **config["experiments"]["choices-seed0"],
        "network": "longer",
        "methods": {"am": {"steps": 4, "points": 2}},
    }
    config["reproduction"] = {
        "folder": "results/page",
        "full": "full.yaml",
        "sensitivity": "choices",
        "sizes": "sizes.csv",
    }
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = Project.create(tmp_path_factory.mktemp("reproduction"), study())
    full = study()
    full["networks"]["small"]["training"]["epochs"] = 100
    full["experiments"]["small"]["seeds"] = [0, 1, 2]
    full["reproduction"] = None
    (project.folder / "full.yaml").write_text(canonical_json(full))
    (project.folder / "sizes.csv").write_text(SIZES)
    project.snakemake()
    return project


def page(project):
    return (project.folder / "results/page/README.md").read_text()


def row(project, claim):
    return next(line for line in page(project).splitlines() if line.startswith(f"| {claim} |"))


@pytest.mark.verify
def test_page_shows_claims_figures_tables_and_reductions(finished):
    text = page(finished)
    for figure in ("fig1", "fig2", "fig3", "fig5"):
        assert f"]({figure}.png)" in text
        with Image.open(finished.folder / f"results/page/{figure}.png") as picture:
            assert picture.width > 500
    assert "fig4" not in text and "fig6" not in text
    assert "| small-seed0 | network.training.epochs | 1 | 100 |" in text
    assert "| small-seed0 | seeds | \\[0\\] | \\[0, 1, 2\\] |" in text
    for name in ("small-seed0", "small-seed1"):
        for table in ("units.csv", "layers.csv", "claims.csv"):
            copied = (finished.folder / "results/page" / name / table).read_bytes()
            assert copied == (finished.folder / "results" / name / table).read_bytes()
    assert "| small | mlp | digits: 10 classes, 4500 + 500 images | 1 epoch |" in text
    record = read_json(finished.folder / "data/checkpoints/small-seed1.json")
    assert f"{record['test']['accuracy']:.1%}" in text
    verdicts = set()
    for name in ("small-seed0", "small-seed1"):
        claims = read_result(finished.folder / "results" / name / "claims.csv")
        verdicts |= set(claims["verdict"][(claims["claim"] == "C13") & (claims["score"] == "rs")])
    verdict = verdicts.pop() if len(verdicts) == 1 else DIVIDED
    (at_a_glance,) = (line for line in text.splitlines() if line.startswith(f"| {verdict} |"))
    assert "C13" in at_a_glance.split("|")[2].strip().split(", ")


@pytest.mark.verify
def test_the_page_shows_the_memory_of_every_rule(finished):
    table = read_table(finished.folder / "results/page/memory.csv", MemoryTable)
    rows = [dict(zip(table, row, strict=True)) for row in zip(*(each.tolist() for each in table.values()), strict=True)]
    jobs = {row["rule"]: row["jobs"] for row in rows}
    assert {row["experiment"] for row in rows} == {"small"} and len(jobs) == len(rows)
    # Of two trainings; they share their data set.
    once = {
        "dataset": 1,
        "checkpoint": 2,
        "taps": 2,
        "activations": 2,
        "moments": 2,
        "units": 2,
        "claims": 2,
        "atlas": 2,
    }
    methods = len(load_study(finished.folder, finished.folder / "config.yaml").experiments["small-seed0"]["methods"])
    each = {"ablation": 6, "images": 6 * methods, "substitution": 6 * methods, "sheets": 6 * methods}
    assert jobs.items() >= (once | each).items()
    text = page(finished)
    for row in rows:
        # At least Python and NumPy, however short the job was.
        assert 20 < row["peak_mib"] < 4096 and 0 < row["seconds"] < 600
        assert f"| {row['rule'].replace('_', chr(92) + '_')} | {row['peak_mib']} ({row['seconds']} s) |" in text


@pytest.mark.verify
def test_page_shows_memory_and_time_at_full_size(finished):
    assert "| rule | large | wide |\n|---|---|---|\n" in page(finished)
    assert "| activations | 3210 (62 s) | 1234 (41 s) |\n| images | 2345 (9 s) | - |\n" in page(finished)


@pytest.mark.verify
def test_missing_sizes_file_is_an_error(finished):
    sizes = finished.folder / "sizes.csv"
    moved = sizes.rename(sizes.with_suffix(".away"))
    try:
        done = finished.try_to_run("snakemake", "-n")
        assert done.returncode == 1 and "reproduction.sizes is 'sizes.csv', but there is no such file" in done.stdout
    finally:
        moved.rename(sizes)


@pytest.mark.verify
def test_page_shows_the_sensitivity_to_choices(finished):
    table = read_table(finished.folder / "results/page/sensitivity.csv", SensitivityTable)
    layers = read_result(finished.folder / "results/choices-seed0/layers.csv")
    assert table["variant"].tolist() == [name for name in ("default", "steps2", "epochs3") for _ in RS_SCORES]
    assert table["score"].tolist() == [*RS_SCORES] * 3
    for variant, method in (("default", "am"), ("steps2", "am-steps2")):
        (spearman,) = table["spearman"][(table["variant"] == variant) & (table["score"] == "rs_z")]
        (expected,) = layers["spearman"][
            (layers["method"] == method) & (layers["x"] == "selectivity") & (layers["y"] == "rs_z")
        ]
        np.testing.assert_equal(spearman, expected)
    assert "](sensitivity.png)" in page(finished) and "| hidden1 | AM | rs\\_z |" in page(finished)
    expected = [
        table["spearman"][(table["variant"] == name) & (table["score"] == "rs_q")] for name in ("steps2", "default")
    ]
    assert f"| hidden1 | AM | rs\\_q | {' | '.join(number(value.item()) for value in expected)} |" in page(finished)
    assert "| layer | objective | score | 2 steps | 4 steps |\n|---|---|---|---|---|\n| hidden1 |" in page(finished)
    expected = [
        table["spearman"][(table["variant"] == name) & (table["score"] == "rs_z")] for name in ("default", "epochs3")
    ]
    assert f"| hidden1 | AM | rs\\_z | {' | '.join(number(value.item()) for value in expected)} |" in page(finished)
    reached = [
        f"{read_json(finished.folder / f'data/checkpoints/{name}.json')['test']['accuracy']:.1%}"
        for name in ("small-seed0", "longer")
    ]
    assert reached[0] != reached[1]
    assert f"{reached[0]} after 1 epoch; {reached[1]} after 3 epochs.\n\n| layer |" in page(finished)
    assert "| layer | objective | score | 1 epoch | 3 epochs |\n|---|---|---|---|---|\n| hidden1 |" in page(finished)
    assert "not compared" not in page(finished)
    # Not an experiment of the paper: no claims, no copies.
    assert not (finished.folder / "results/page/choices-seed0").exists()


@pytest.mark.verify
def test_page_shows_ranges_over_trainings(finished):
    tables = [read_result(finished.folder / f"results/small-seed{seed}/layers.csv") for seed in (0, 1)]
    ranges = []
    for score in RS_SCORES:
        correlations = [correlation_of(table, "hidden2", "iam", "selectivity", score) for table in tables]
        values = np.array([one["spearman"] for one in correlations])
        # RS (q) may be constant in a layer of 12 units, and its Spearman is undefined then.
        finite = values[np.isfinite(values)]
        text = f"{number(finite.min())} to {number(finite.max())}"
        ranges.append(text if finite.size == 2 else f"{text} (defined in {finite.size})")
    assert f"| small | hidden2 | IAM | 2 | {' | '.join(ranges)} |\n" in page(finished)


@pytest.mark.verify
def test_figures_show_the_layers_of_the_claims(finished):
    folder = finished.folder / "results/small-seed0"
    tables = [read_result(folder / f"{name}.csv") for name in ("units", "layers", "claims")]
    heights = []
    for claims in ({"C8": ["hidden1", "hidden2"]}, {"C8": ["hidden1", "hidden2"], "C7": ["hidden2", "logits"]}):
        result = Result("small-seed0", "small", *tables, {}, claims)
        with Image.open(io.BytesIO(draw(Style(dpi=50), "fig3", result, [result], {}))) as picture:
            heights.append(picture.height)
    assert 0 < heights[0] < heights[1]


def test_network_rows_show_the_trained_epochs():
    def trained(**training):
        settings = {"model": "mlp", "dataset": "digits", "training": training, "head": None}
        return Result("e", "e", {}, {}, {}, {"settings": settings, "test": {"accuracy": 0.5}}, {})

    complete, stopped = trained(epochs=16, stop_after=None), trained(epochs=16, stop_after=1)
    assert [network_rows([one], {})[0]["training"] for one in (complete, stopped)] == ["16 epochs", "1 of 16 epochs"]


@pytest.mark.verify
def test_ablation_of_targets_equals_ablation_of_all_units(finished, tmp_path):
    table = read_result(finished.folder / "results/choices-seed0/ablation/hidden1.csv")
    assert table["unit"].tolist() == [1, 4, 5, 9]
    units = read_result(finished.folder / "results/choices-seed0/units.csv")
    assert np.flatnonzero(np.isfinite(units["ablation_loss"])).tolist() == [1, 4, 5, 9]
    project = finished.copy(tmp_path / "copy")
    project.change("experiments.choices-seed0.ablation.units", "all")
    project.snakemake("results/choices-seed0/ablation/hidden1.csv")
    every = read_result(project.folder / "results/choices-seed0/ablation/hidden1.csv")
    assert every["unit"].tolist() == list(range(12))
    for name in ("ablation_loss", "ablation_loss_mean", "ablation_loss_half1"):
        np.testing.assert_allclose(every[name][[1, 4, 5, 9]], table[name], atol=1e-6)


def test_variants_are_named_by_their_differences():
    config = study()
    choices = config["experiments"]["choices-seed0"]
    config["experiments"]["choices-max-seed1"] = {
        **choices,
        "network": "small-seed1",
        "readout": "max",
        "methods": ["iam"],
    }
    rows = variants(resolve(config, "config"))
    assert [tuple(row.values()) for row in rows] == [
        ("choices-seed0", "small-seed0", "am", "am", "default", 4, 1),
        ("choices-seed0", "small-seed0", "am-steps2", "am", "steps2", 2, None),
        ("choices-epochs3", "longer", "am", "am", "epochs3", None, 3),
        ("choices-max-seed1", "small-seed1", "iam", "iam", "max", None, None),
    ]
    # What differs in more than its length is no longer ascent.
    choices["methods"]["am-steps2"]["learning_rate"] = 0.2
    assert [row["steps"] for row in variants(resolve(config, "config"))] == [4, None, None, None]
    # So is what differs in more than the length of its training.
    config["networks"]["longer"]["training"]["momentum"] = 0.5
    assert [row["epochs"] for row in variants(resolve(config, "config"))] == [1, None, None, None]
    config["reproduction"] = None
    assert variants(resolve(config, "config")) == []


@pytest.mark.verify
def test_a_changed_score_changes_the_page(finished, tmp_path):
    project = finished.copy(tmp_path / "copy")
    before = page(project), row(project, "C13")
    assert "Nothing to be done" in project.snakemake()
    path = project.folder / "results/small-seed0/units.csv"
    table = read_result(path)
    # Every unit of one layer has its own RS now: the interquartile range is half of the range.
    in_layer = table["layer"] == "hidden1"
    table["rs_iam"][in_layer] = np.linspace(0, 0.9, in_layer.sum())
    write_table(path, table, UnitsTable)
    # By its bytes the table would be computed again; by its time stamp it is what everything behind it is made from.
    project.snakemake("--rerun-triggers", "mtime")
    alive = in_layer & ~table["dead"] & np.isfinite(table["rs_iam"])
    assert row(project, "C13") != before[1]
    assert f"hidden1 IAM: {number(interquartile_range(table['rs_iam'][alive]))} " in row(project, "C13")
    assert row(project, "C16") in before[0]
    assert (project.folder / "results/page/small-seed0/units.csv").read_bytes() == path.read_bytes()


@pytest.mark.verify
def test_dvc_reproduces_the_whole_study_and_nothing_else(tmp_path):
    project = Project.create(tmp_path / "project", SMALL)

    def write(steps: int) -> None:
        small = {**SMALL["experiments"]["small"], "claims": {"C13": {"layers": ["hidden1"]}}}
        small["methods"] = {**small["methods"], "am": {"steps": steps, "points": 2}}
        # An entry that stands for a training of each seed, and no study that it is less than.
        networks = {"paper": {**SMALL["networks"]["small"], "seeds": [3]}}
        experiments = {"paper": {**small, "network": "paper"}}
        study = {**SMALL, "networks": networks, "experiments": experiments, "reproduction": {"folder": "results/paper"}}
        (project.folder / "paper/config.yaml").write_text(canonical_json(study))

    write(steps=4)
    project.run("dvc", "repro", "paper/dvc.yaml")
    before = project.hashes()
    assert "data/checkpoints/paper-seed3.pt" in before and "results/paper/README.md" in before
    assert not [name for name in before if "small" in name]
    assert "Nothing to be done" in project.run("snakemake", "-n", "--configfile", "paper/config.yaml")
    assert "Stage 'paper/dvc.yaml:reproduction' didn't change" in project.run("dvc", "repro", "paper/dvc.yaml")
    write(steps=5)
    project.run("dvc", "repro", "paper/dvc.yaml")
    after = project.hashes()
    moved = {name for name in before if before[name] != after[name]}
    images = {f"results/paper-seed3/images/hidden1.{method}.h5": method == "am" for method in ("am", "iam")}
    assert {name: name in moved for name in images} == images
    assert "data/checkpoints/paper-seed3.pt" not in moved


def test_figures_are_chosen_by_the_claims():
    config = study()
    resolved = resolve(config, "config")
    assert numbered(resolved) == dict.fromkeys(("fig1", "fig2", "fig3", "fig5"), "small-seed0")
    assert resolved.entries == {
        "small-seed0": "small",
        "small-seed1": "small",
        **{name: name for name in ("choices-seed0", "choices-epochs3")},
    }
    assert reductions(resolved, resolved) == []


def test_methods_with_several_recipes_are_compared_individually():
    config, full = study(), study()
    experiment, full_experiment = (one["experiments"]["small"] for one in (config, full))
    config["reproduction"]["full"] = None
    full_experiment["methods"] = {
        "am": {"steps": 256},
        "iam": {"steps": 256},
        "iam-lr": {"objective": "iam", "steps": 256},
    }
    experiment["methods"] = {
        **{"am": {"steps": 64}, "iam": {"steps": 64}},
        **{"iam-lr": {"objective": "iam", "steps": 64, "learning_rate": 0.2}},
        **{"am-long": {"objective": "am", "steps": 1024}},
    }
    rows = reductions(*(resolve(one, "config") for one in (config, full)))
    ascents = {row["setting"]: (row["here"], row["full"]) for row in rows if row["setting"].startswith("ascent")}
    assert ascents == {
        "ascent.steps": (64, 256),
        "ascent.steps of am-long": (1024, None),
        "ascent.learning_rate of iam-lr": (0.2, None),
    }


def test_image_location_is_not_a_reduction():
    config = study()
    resolved = resolve(config, "config")
    folder = {"source": "image_folder", "path": "data/there", "store": "index", "resize": 8}
    config["datasets"]["digits"] = folder
    there = reductions(resolved, resolve(config, "config"))
    assert "dataset.resize" in [row["setting"] for row in there]
    assert not {"dataset.path", "dataset.store", "dataset.source"} & {row["setting"] for row in there}


def test_other_images_and_weights_are_listed_as_reductions():
    studies = (load_study(ROOT, ROOT / f"paper/{name}.yaml") for name in ("cpu", "config"))
    rows = {row["setting"]: row for row in reductions(*studies) if row["experiment"] == "vgg16-imagenet-cpu"}
    values = {setting: (row["here"], row["full"]) for setting, row in rows.items()}
    assert values["network.dataset"] == ("imagenet20", "imagenet")
    assert values["network.weights.torchvision"] == (None, "IMAGENET1K_V1")
    assert values["network.weights.file"][0].endswith("vgg16_imagenet_features_fp16.safetensors")


def test_undefined_variants_are_counted_separately():
    def row(variant, spearman, score="rs"):
        return {"layer": "conv1", "objective": "am", "score": score, "variant": variant, "spearman": spearman}

    rows = [row("default", 0.2), row("default", 0.4), row("max", -0.9), row("max", np.nan), row("grey", 0.1)]
    ranges = sensitivity_ranges([*rows, row("default", np.nan, "rs_q")])
    assert [(one["default"], one["lowest"], one["highest"], one["positive"]) for one in ranges] == [
        ("0.30", "0.10 (grey)", "0.30 (default)", "2 of 2, 1 undefined"),
        ("undefined", "-", "-", "0 of 0, 1 undefined"),
    ]


def test_layer_rows_list_scores_by_method():
    units = {
        "layer": np.array(["a", "a", "a"]),
        "unit": np.arange(3),
        "dead": np.array([False, False, True]),
        "selectivity": np.array([0.5, 0.5, np.nan]),
        # The made image excites a unit that no real one does.
        "seeds_iam": np.array([1, 0, 1]),
        **{f"{score}_iam": np.array([0.25, np.nan, 0.75]) for score in RS_SCORES},
    }
    count = len(RS_SCORES)
    layers = {"layer": ["a"] * count, "method": ["iam"] * count, "x": ["selectivity"] * count, "y": list(RS_SCORES)}
    layers = {name: np.array(column) for name, column in {**layers, "spearman": [0.1, 0.2, 0.3, 0.4]}.items()}
    (row,) = layer_rows([Result("e", "e", units, layers, {}, {}, {})])
    assert row["scored"] == {"iam": "1"} and row["rs"]["iam", "rs"] == "0.25"
    shown = environment().from_string("{{ row.rs | by_method(methods, 'rs') }}; {{ row.scored | by_method(methods) }}")
    assert shown.render(row=row, methods=["am", "iam"]) == "-, 0.25; -, 1"


@pytest.mark.parametrize("key", ["steps", "epochs"])
def test_rows_compare_lengths_in_columns(key):
    def row(length, spearman, score="rs"):
        return {"layer": "conv1", "objective": "am", "score": score, key: length, "spearman": spearman}

    rows = [row(256, 0.2), row(16, 0.5), row(256, 0.4), row(None, 0.9), row(16, float("nan"), "rs_z")]
    assert by_length(rows, key) == {
        "lengths": [16, 256],
        "rows": [
            {"layer": "conv1", "objective": "am", "score": "rs", "means": ["0.50", "0.30"]},
            {"layer": "conv1", "objective": "am", "score": "rs_z", "means": ["undefined", "-"]},
        ],
    }
    assert by_length([row(None, 0.9)], key) == {"lengths": [], "rows": []}


def test_ranges_state_their_layers_and_methods():
    def part(layer, method):
        return {"layer": layer, "method": method, "statistic": "s", "effect": 0.5, "holds": "yes"}

    layers = [f"conv{number}" for number in range(9)]
    assert effect_texts([part(layer, "iam") for layer in layers]) == ["9 layers: 0.50 to 0.50; yes in 9"]
    both = [part(layer, method) for layer in layers[:6] for method in ("am", "iam")]
    assert effect_texts(both) == ["6 layers, AM, IAM: 0.50 to 0.50; yes in 12"]
    assert effect_texts([part("", "") for _ in layers]) == ["9 comparisons: 0.50 to 0.50; yes in 9"]
    one = {**part("conv9", "iam"), "effect": np.nan, "holds": "open"}
    ten = [*(part(layer, "iam") for layer in layers), one]
    assert effect_texts(ten) == ["10 layers: 0.50 to 0.50 (defined in 9); yes in 9, open in 1"]


def test_ranges_state_undefined_trainings():
    def training(spearman):
        rows = {"layer": ["a"], "method": ["am"], "x": ["selectivity"]}
        layers = {
            name: np.array(values * len(RS_SCORES))
            for name, values in {**rows, "spearman": [spearman], "reason": [""]}.items()
        }
        units = {"layer": np.array(["a"]), "seeds_am": np.array([1])}
        return Result("", "net", units, {**layers, "y": np.array(RS_SCORES)}, {}, {}, {})

    def rs_z_range(*values):
        (row,) = training_ranges([training(value) for value in values])
        return row["ranges"]["rs_z"]

    assert rs_z_range(0.3, -0.1, 0.2) == "-0.10 to 0.30"
    assert rs_z_range(0.3, np.nan, 0.2) == "0.20 to 0.30 (defined in 2)"
    assert rs_z_range(np.nan, np.nan) == "undefined"
    assert training_ranges([training(0.3)]) == []


def test_verdicts_at_a_glance():
    def row(claim, verdict, rs_z="", rs_q="", entry="a", layer=""):
        others = {"rs_z": rs_z, "rs_q": rs_q}
        return {"claim": claim, "entry": entry, "layer": layer, "verdict": verdict, "others": others}

    rows = verdict_rows(
        [
            row("C1", "supported", "contradicted", "supported (2 of 3), inconclusive (1 of 3)"),
            row("C6", "supported"),
            row("C7", "contradicted", "contradicted", "contradicted", layer="hidden"),
            row("C7", "inconclusive", "inconclusive", "contradicted", layer="logits"),
            row("C18", "supported", entry="a"),
            row("C18", "supported (2 of 3), contradicted (1 of 3)", entry="b"),
        ]
    )
    assert {row["verdict"]: row["claims"] for row in rows} == {
        "supported": {"rs": ["C1", "C6"], OTHER_SCORES: ["C18 (a)"]},
        "contradicted": {
            "rs": ["C7 (a, hidden)"],
            "rs_z": ["C1", "C7 (a, hidden)"],
            "rs_q": ["C7 (a, hidden)", "C7 (a, logits)"],
        },
        "inconclusive": {"rs": ["C7 (a, logits)"], "rs_z": ["C7 (a, logits)"]},
        "trainings differ": {"rs_q": ["C1"], OTHER_SCORES: ["C18 (b)"]},
    }


def test_only_jobs_of_the_experiment_are_counted(tmp_path):
    settings = {"layers": ["a", "b.0"], "methods": ["am"], "readout": "max"}
    for name in (
        *("moments/mean", "images/a.am", "images/b.0.am", "images/b.0.am.3", "images/a.am.joined", "scale/a"),
        *("substitution/b.0.am", "units"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.tsv").touch()
    # Of other settings that were run here before.
    for name in ("images/a.iam", "images/c.am", "images/a.am.substitutes", "substitution/a.iam", "scale/c"):
        (tmp_path / f"{name}.tsv").touch()

    def counted_jobs(rule):
        return {
            str(path.relative_to(tmp_path).with_suffix(""))
            for path in benchmarks(tmp_path, rule, settings)
            if path.exists()
        }

    assert counted_jobs("images") == {"images/a.am", "images/b.0.am", "images/b.0.am.3"}
    assert counted_jobs("images_joined") == {"images/a.am.joined"}
    assert counted_jobs("substitute_images") == {"images/a.am.substitutes"}
    assert counted_jobs("moments") == {"moments/mean"} and counted_jobs("scale") == {"scale/a"}
    assert counted_jobs("substitution") == {"substitution/b.0.am"} and counted_jobs("units") == {"units"}


def test_memory_peak_is_read_from_the_log(tmp_path):
    benchmark = tmp_path / "units.tsv"
    benchmark.write_text("s\th:m:s\tmax_rss\n1.5\t0:00:01\t80.25\n")
    assert jobs_of(benchmark) == [(80.25, 1.5)]
    benchmark.with_suffix(".log").write_text("10:00:00 units: 3 of 3\n10:00:01 peak memory: 93 MiB\n")
    assert jobs_of(benchmark) == [(93.0, 1.5)]
    benchmark.write_text("s\th:m:s\tmax_rss\n0.1\t0:00:00\tNA\n")
    assert jobs_of(benchmark) == [(93.0, 0.1)]


def rules_in(*names):
    """Return the rules in some of the files, with their texts."""
    files = "\n".join((ROOT / f"rules/{name}.smk").read_text() for name in names)
    return dict(re.findall(r"^(?:use rule \w+ as|rule) (\w+).*:\n((?:    .*\n|\n)+)", files, re.MULTILINE))


def test_the_memory_of_every_rule_is_measured():
    rules = rules_in(*(path.stem for path in sorted((ROOT / "rules").glob("*.smk"))))
    assert len(rules) > 30 and all("\n    benchmark:\n" in text for text in rules.values())
    assert {rule for analysis in ANALYSES.values() for rule in analysis.rules} == {
        *rules_in("analyses", "interventions")
    } - {"ablation"}


def test_table_cells_are_escaped():
    assert cell("a|b\n<script>") == "a\\|b &lt;script&gt;"
    assert cell("[x](http://y)") == "\\[x\\](http://y)"


def test_number_formatting():
    assert [number(value) for value in (0.125, -0.001, float("nan"), 1234.5)] == ["0.12", "0.00", "undefined", "1234"]


def test_no_rule_exceeds_four_gibibytes_at_the_papers_sizes():
    measured = read_table(ROOT / "paper/sizes.csv", MemoryTable)
    experiments = load_study(ROOT, ROOT / "paper/sizes.yaml").experiments
    for name, experiment in experiments.items():
        of_analyses = {rule for analysis in experiment["analyses"] for rule in ANALYSES[analysis].rules}
        expected = {"dataset", "checkpoint", "ablation", *of_analyses}
        expected |= rules_in("activations", "images", "tables", "figures").keys()
        expected -= {"images_joined", "substitute_images", "images_block"}
        assert expected <= set(measured["rule"][measured["experiment"] == name])
    assert measured["peak_mib"].max() <= 4096
    printed = (ROOT / "paper/README.md").read_text()
    table = memory_table(measured)
    for row in table["rules"]:
        assert f"| {cell(row['rule'])} | {' | '.join(row['cells'])} |" in printed


def test_size_benchmarks_use_the_papers_settings():
    paper, sizes = (load_study(ROOT, ROOT / f"paper/{name}.yaml") for name in ("config", "sizes"))
    for name in ("mlp", "shallow-seed0", "vgg16-cifar10", "vgg16-imagenet"):
        full, measured = paper.experiments[name], sizes.experiments[f"{name.removesuffix('-seed0')}-sizes"]
        assert list(full["layers"]) == list(measured["layers"]) and full["seeds"] == measured["seeds"]
        for rule, key in (("images", "batch"), ("images", "block"), ("activations", "batch"), ("ablation", "batch")):
            assert full[rule][key] == measured[rule][key]
        built, small = paper.networks[full["network"]], sizes.networks[measured["network"]]
        assert (built["model"], built["options"]) == (small["model"], small["options"])
        shapes = [one.datasets[each["dataset"]] for one, each in ((paper, built), (sizes, small))]
        assert getattr(shapes[0], "crop", None) == getattr(shapes[1], "crop", None)
