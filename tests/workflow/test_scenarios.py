"""What is computed again after what: the real Snakemake and the real DVC, by the jobs that were executed.

Every scenario starts from a copy of one prepared run, and is run by each of the two.
"""

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import CHANGE, Project, move_module

pytestmark = pytest.mark.parametrize("command", ["snakemake", pytest.param("dvc repro", marks=pytest.mark.verify)])

ANALYSIS_OF_IMAGES = {"small/units", "small/layers", "small/metrics", "small/figures", "small/atlas"}
SHEETS = {"small/sheets/hidden1.am", "small/sheets/hidden1.iam"}
TABLES = ANALYSIS_OF_IMAGES | SHEETS
ASCENTS = {f"small/{rule}/hidden1.{method}" for rule in ("images", "substitution") for method in ("am", "iam")}
CHECKPOINT = {"checkpoints/small"}
ALL_BUT_DATASET = (
    CHECKPOINT
    | ASCENTS
    | TABLES
    | {
        "small/moments/mean",
        "small/activations",
        "small/selectivity",
        "small/exemplars",
        "small/ablation/hidden1",
    }
)


def check(project: Project, command: str, change: Callable[[], None], expected: set[str], same: set[str]) -> None:
    """Make a change and run; compare the executed jobs, and the artifacts that have to be the same bytes or others."""
    before = project.hashes()
    change()
    assert project.executed(command) == expected
    after = project.hashes()
    assert set(before) <= set(after)
    moved = {name for name in before if before[name] != after[name]}
    assert not {name for name in moved if any(name.startswith(prefix) for prefix in same)}
    assert "Nothing to be done" in project.run("snakemake", "-n")


def test_unchanged_study_reruns_nothing(project, command):
    check(project, command, lambda: None, set(), {""})


def test_changed_figure_size(project, command):
    check(
        project,
        command,
        lambda: project.change("experiments.small.figures", {"dpi": 50}),
        {"small/figures"} | SHEETS,
        {"data", "results/small/images", "results/small/units.csv", "results/small/activations.h5"},
    )


def test_changed_atlas_style(project, command):
    unchanged = {"data", "results/small/images", "results/small/units.csv", "results/small/figures"}
    check(
        project,
        command,
        lambda: project.change("experiments.small.atlas", {"pixels": 20}),
        {"small/atlas"},
        unchanged,
    )
    check(
        project,
        command,
        lambda: project.edit("unitscope/atlas/web/atlas.css", "--paper: #fdfdfc", "--paper: #ffffff"),
        {"small/atlas"},
        unchanged,
    )


def test_changed_steps_of_one_method(project, command):
    before = project.hashes()
    check(
        project,
        command,
        lambda: project.change("experiments.small.methods.am.steps", 6),
        {"small/images/hidden1.am", "small/substitution/hidden1.am"} | TABLES,
        {"data", "results/small/images/hidden1.iam", "results/small/activations.h5", "results/small/ablation"},
    )
    assert project.hashes()["results/small/images/hidden1.am.h5"] != before["results/small/images/hidden1.am.h5"]


def test_changed_training_setting(finished, changed, command, tmp_path):
    before = finished.hashes()
    if command == "snakemake":
        project, executed = changed
        assert executed == ALL_BUT_DATASET
        assert project.hashes()["data/datasets/digits.h5"] == before["data/datasets/digits.h5"]
        assert "Nothing to be done" in project.run("snakemake", "-n")
    else:
        project = finished.copy(tmp_path / "project")
        check(project, command, lambda: project.change(*CHANGE), ALL_BUT_DATASET, {"data/datasets"})
    after = project.hashes()
    for name in ("data/checkpoints/small.pt", "results/small/activations.h5", "results/small/images/hidden1.am.h5"):
        assert after[name] != before[name]


def test_touched_data_set(project, command):
    path = project.folder / "data/datasets/digits.h5"
    check(project, command, lambda: os.utime(path, (time.time() + 5, time.time() + 5)), set(), {""})


def test_deleted_and_restored_data_set(project, command):
    def delete_and_bring_back() -> None:
        (project.folder / "data/datasets/digits.h5").unlink()
        project.run("dvc", "checkout")

    check(project, command, delete_and_bring_back, set(), {""})


def test_changed_comment_in_the_config(project, command):
    config = project.folder / "config.yaml"
    check(project, command, lambda: config.write_text("# A comment.\n" + config.read_text()), set(), {""})


def test_reordered_methods(project, command):
    methods = project.config()["experiments"]["small"]["methods"]

    def change() -> None:
        project.change("experiments.small.methods", dict(reversed(methods.items())))

    check(project, command, change, set(), {""})


def test_added_layer(project, command):
    more = {
        f"small/{rule}/hidden2.{method}" for rule in ("images", "substitution", "sheets") for method in ("am", "iam")
    }
    cheap = {"small/taps", "small/activations", "small/selectivity", "small/exemplars", *ANALYSIS_OF_IMAGES}
    rescored = {name for name in ASCENTS | SHEETS if "images" not in name}
    check(
        project,
        command,
        lambda: project.change("experiments.small.layers", ["hidden1", "hidden2"]),
        more | cheap | rescored | {"small/ablation/hidden2"},
        {"data", "results/small/images/hidden1", "results/small/ablation/hidden1"},
    )


def test_changed_line_of_the_selectivity_module(project, command):
    check(
        project,
        command,
        lambda: project.edit(
            "unitscope/scores/selectivity.py", "total = largest + others", "total = 2 * largest + others"
        ),
        {"small/selectivity"} | TABLES,
        {"data", "results/small/images", "results/small/activations.h5", "results/small/ablation"},
    )


def modules(project: Project) -> list[Path]:
    """Return the files of the library, but those that hold nothing."""
    return [path for path in (project.folder / "unitscope").rglob("*.py") if path.read_text()]


def test_changed_comments_and_docstrings(project, command):
    def comment() -> None:
        for module in modules(project):
            text = module.read_text()
            assert text.startswith('"""')
            module.write_text('"""Another docstring. ' + text[3:] + "\n# A comment at the end.\n")

    check(project, command, comment, set(), {""})


def test_reworded_messages(project, command):
    def reword() -> None:
        project.edit("unitscope/data/datasets.py", "has no classes: what needs labels is left out", "has no labels")
        project.edit("unitscope/networks/checkpoints.py", "raise UserError(", 'raise UserError("Sorry: " + ')
        project.edit(
            "unitscope/networks/training.py", "the training goes on behind epoch %d", "going on after epoch %d"
        )
        project.edit("unitscope/networks/training.py", '"training", "epochs"', '"the training", "passes"')
        project.edit("unitscope/probing/tracing.py", "console.log.warning(\n", 'console.log.warning("Note: "\n')
        project.edit("scripts/data/checkpoint.py", 'help="', 'help="See the config: ')

    check(project, command, reword, set(), {""})


def test_moved_modules_and_scripts(project, command):
    def move() -> None:
        for module, package in (("datasets", "inputs"), ("traced", "networks"), ("substitution", "tables")):
            move_module(project.folder, module, package)
        for program, folder in (("checkpoint", "networks"), ("units", "figures")):
            (path,) = (project.folder / "scripts").rglob(f"{program}.py")
            (project.folder / "scripts" / folder).mkdir(exist_ok=True)
            path.rename(project.folder / "scripts" / folder / path.name)

    check(project, command, move, set(), {""})


def test_added_table_column(project, command):
    def add() -> None:
        last = "    exceeders = SubstitutionTable.exceeders.per_method()\n"
        columns, script = "unitscope/tables/unit_columns.py", "scripts/tables/units.py"
        project.edit(columns, last, f'{last}    doubled = number("share")\n    """Twice the selectivity."""\n')
        project.edit(columns, "import Schema\n", "import Schema, number\n")
        write = "    write_table(arguments.output, table, UnitsTable)\n"
        project.edit(script, write, '    table["doubled"] = 2 * table["selectivity"]\n' + write)

    check(
        project,
        command,
        add,
        TABLES,
        {"data", "results/small/images", "results/small/activations.h5", "results/small/selectivity.csv"},
    )
    assert "doubled" in (project.folder / "results/small/units.csv").read_text().partition("\n")[0]


def test_dry_run_lists_jobs_and_runs_none(project, command):
    before, logs = project.hashes(), project.logs()
    if command == "snakemake":
        assert "Nothing to be done" in project.run("snakemake", "-n")
        project.change("experiments.small.methods.am.steps", 6)
        output = project.run("snakemake", "-n")
        planned = set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE)) - {"all"}
        assert planned == {"images", "substitution", "units", "layers", "metrics", "figures", "sheets", "atlas"}
    else:
        # The first stage looks at raw data and artifacts each time.
        assert project.run("dvc", "repro", "--dry").count("Running stage") == 1
        project.change("experiments.small.methods.am.steps", 6)
        assert "Running stage 'study'" in project.run("dvc", "repro", "--dry")
    assert project.hashes() == before
    assert project.logs() == logs


def test_fresh_clone_recomputes_only_changes(project, command, tmp_path):
    if command == "snakemake":
        pytest.skip("a clone has no records of Snakemake's: DVC is the authority there")
    project.run("git", "add", "--all")
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "results")
    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    shutil.copytree(project.folder / ".dvc/cache", clone.folder / ".dvc/cache")
    clone.run("dvc", "checkout")
    assert clone.hashes() == project.hashes()
    assert clone.executed(command) == set()
    clone.change("experiments.small.methods.am.steps", 6)
    done = {log for log in clone.executed(command) if (clone.folder / f"logs/{log}.log").stat().st_size}
    assert not done & {"datasets/digits", "checkpoints/small"}
    assert "small/images/hidden1.am" in done
    after = clone.hashes()
    assert after["results/small/images/hidden1.am.h5"] != project.hashes()["results/small/images/hidden1.am.h5"]
    for name in ("data/datasets/digits.h5", "data/checkpoints/small.pt", "results/small/images/hidden1.iam.h5"):
        assert after[name] == project.hashes()[name]
    assert clone.executed(command) == set()
