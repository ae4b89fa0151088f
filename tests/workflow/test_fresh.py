"""Nothing stale is ever taken for fresh: what people do, by each command that they use, against a run from scratch.

Each test does something to a finished study, gives the command again, and compares every artifact byte by byte with
those of the same config computed from nothing; then the next call has nothing to do. The real Snakemake, make and DVC.
"""

import copy
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from oracle import Oracle
from projects import CHANGE, KILL_AT, SMALL, Project, flip, write_two_classes

ENGINES = ("snakemake", "make run", "dvc repro")
BY_EACH = ["snakemake", *(pytest.param(engine, marks=pytest.mark.verify) for engine in ENGINES[1:])]
"""One of them in `make test`, all in `make verify`."""
IN_TURN = [
    pytest.param(ENGINES[:1], id=ENGINES[0]),
    pytest.param(ENGINES[1:], id=" and ".join(ENGINES[1:]), marks=pytest.mark.verify),
]
"""The same, one after the other in one project, where what comes before them takes long."""
CHECKPOINT, RECORD = "data/checkpoints/small.pt", "data/checkpoints/small.json"
IMAGES, ABLATION, UNITS = (
    f"results/small/{name}" for name in ("images/hidden1.am.h5", "ablation/hidden1.csv", "units.csv")
)


def rerun(project: Project, engine: str, oracle: Oracle) -> str:
    """Give the command again; hold every artifact against a run from scratch; return what was said.

    And against what a clone restores, where DVC has run.
    """
    output = project.run(*project.command(engine))
    artifacts, expected = project.hashes(), oracle(project)
    different = {name for name in {**artifacts, **expected} if artifacts.get(name) != expected.get(name)}
    assert not different, f"not those of a run from scratch: {sorted(different)}\n{output}"
    assert "Nothing to be done" in project.run("snakemake", "-n")
    if engine == "dvc repro":
        restored_by_a_colleague(project)
    return output


def restored_by_a_colleague(project: Project) -> None:
    """Let a clone fetch what was recorded, and compare."""
    place = project.folder.with_name(f"beside {project.folder.name}")
    project.run("dvc", "remote", "modify", "store", "url", str(place / "store"))
    project.commit("results")
    project.run("python", "-m", "unitscope", "push")
    colleague = project.clone(place / "colleague")
    colleague.run("python", "-m", "unitscope", "restore")
    assert colleague.hashes() == project.hashes()
    assert "Nothing to be done" in colleague.run("snakemake", "-n")


# --- jobs that fail, and files that are gone or changed --------------------------------------------------------------


@pytest.mark.parametrize("engine", BY_EACH)
def test_jobs_that_fail_are_killed_or_meet_edited_code_are_rerun(project, oracle, engine):
    """One after the other in one project; what the call after the last one leaves is that of a run from scratch."""
    project.change("networks.small.training.learning_rate", 1e9)
    for _ in range(2):
        done = project.try_to_run(*project.command(engine))
        assert done.returncode and "diverged" in done.stdout and "Nothing to be done" not in done.stdout
    assert "Nothing to be done" not in project.run("snakemake", "-n")
    locks = project.locks()
    project.run("python", "-m", "unitscope", "record")
    assert project.locks() == locks
    project.change(*CHANGE)
    running = project.start(engine)
    project.wait_for("images").kill()
    running.communicate()
    assert running.returncode and "Nothing to be done" not in project.run("snakemake", "-n")
    # A module is edited while a run goes on, and set back.
    module = project.folder / "unitscope/tables/unit_tables.py"
    source = module.read_text()
    running = project.start(engine)
    # Snakemake has planned, in DVC's stage as well; the job that needs the module comes later.
    project.wait_for("images")
    module.write_text(source + "\n\nOTHER = 1\n")
    output, _ = running.communicate()
    module.write_text(source)
    assert running.returncode and "The code has changed" in " ".join(output.split()), output
    rerun(project, engine, oracle)


@pytest.mark.verify
@pytest.mark.parametrize("engine", ENGINES)
def test_run_killed_after_a_changed_setting_is_resumed(project, oracle, engine):
    """As where the power fails."""
    project.change(*CHANGE)
    running = project.start(engine)
    job = project.wait_for("images")
    os.killpg(running.pid, signal.SIGKILL)
    psutil.wait_procs([job])
    running.communicate()
    if engine != "make run":
        project.run("snakemake", "--unlock")
    assert "Nothing to be done" not in project.run("snakemake", "-n")
    rerun(project, engine, oracle)


@pytest.mark.parametrize("engines", IN_TURN)
def test_deleted_intermediate_files_are_restored_from_the_cache(project, oracle, engines):
    for engine in engines:
        for name in (CHECKPOINT, IMAGES, ABLATION):
            (project.folder / name).unlink()
        logs = project.logs()
        output = rerun(project, engine, oracle)
        # No job was executed, and a line says so; DVC has already brought back what is a stage's own.
        assert project.logs() == logs
        for name in (CHECKPOINT, IMAGES, ABLATION)[engine == "dvc repro" :]:
            assert f"{name} was not there: brought back from DVC's cache" in output


@pytest.mark.parametrize("engine", BY_EACH)
def test_deleted_intermediate_files_without_a_cache_are_recomputed(project, oracle, engine):
    for name in (CHECKPOINT, ABLATION):
        (project.folder / name).unlink()
    shutil.rmtree(project.folder / ".dvc/cache")
    rerun(project, engine, oracle)


@pytest.mark.parametrize("engines", IN_TURN)
def test_checkout_of_an_older_commit_and_back_with_git_alone(changed, oracle, engines, tmp_path):
    project = changed[0].copy(tmp_path / "project")
    new = project.hashes()
    for engine in engines:
        project.run("git", "checkout", "--quiet", "HEAD~1")
        project.run("dvc", "checkout")
        assert project.hashes()[IMAGES] != new[IMAGES]
        project.run("git", "checkout", "--quiet", "main")
        output = rerun(project, engine, oracle)
        assert project.hashes() == new
        assert f"{IMAGES} held other bytes: brought back from DVC's cache" in output


def edit_a_score(project: Project) -> None:
    path = project.folder / UNITS
    header, first, *rest = path.read_text().splitlines(keepends=True)
    cells = first.split(",")
    cells[header.split(",").index("selectivity")] = "0.999"
    path.write_text("".join([header, ",".join(cells), *rest]))


def flip_a_bit(project: Project) -> None:
    flip(project.folder / IMAGES, 3000)


def put_another_checkpoint_there(project: Project) -> None:
    import torch

    path = project.folder / CHECKPOINT
    content = torch.load(path, weights_only=True)
    for tensor in content["state_dict"].values():
        tensor += 0.01
    torch.save(content, path)


@pytest.mark.parametrize("engines", IN_TURN)
def test_manually_edited_files_are_restored(project, oracle, engines):
    before = project.hashes()
    for engine in engines:
        for change, name in {edit_a_score: UNITS, flip_a_bit: IMAGES, put_another_checkpoint_there: CHECKPOINT}.items():
            change(project)
            assert project.hashes()[name] != before[name]
        rerun(project, engine, oracle)
        assert project.hashes() == before


@pytest.mark.parametrize("engines", IN_TURN)
def test_edited_files_are_never_recorded(project, engines):
    """Not even where it cannot be brought back and the job that would write it fails."""
    shutil.rmtree(project.folder / ".dvc/cache")
    start = "def main(arguments: argparse.Namespace) -> None:\n"
    project.edit("scripts/tables/units.py", start, start + '    raise MemoryError("killed")\n')
    locks = project.locks()
    for engine in engines:
        edit_a_score(project)
        assert project.try_to_run(*project.command(engine)).returncode
        assert project.locks() == locks
        shutil.copy(project.folder / "results/small/selectivity.csv", project.folder / UNITS)
        done = project.try_to_run("python", "-m", "unitscope", "push")
        assert done.returncode == 1 and "Nothing is sent" in " ".join(done.stdout.split())


@pytest.mark.verify
@pytest.mark.parametrize("engine", ENGINES)
def test_pulled_checkpoint_with_other_settings_is_retrained(project, oracle, engine, tmp_path):
    project.run("dvc", "remote", "modify", "store", "url", str(tmp_path / "store"))
    project.commit("results")
    project.run("dvc", "push")
    clone = project.clone(tmp_path / "clone")
    clone.run("dvc", "pull", "checkpoint@small")
    clone.change(*CHANGE)
    rerun(clone, engine, oracle)
    record = json.loads((clone.folder / RECORD).read_text())
    assert record["settings"]["training"]["learning_rate"] == 0.02
    # And without a change, what was pulled is taken.
    other = project.clone(tmp_path / "other")
    other.run("dvc", "pull", "dataset@digits", "checkpoint@small")
    other.run("snakemake", "--cores", "8", "--", CHECKPOINT)
    assert not (other.folder / "logs/checkpoints").exists()


@pytest.mark.verify
def test_snakemake_touch_does_not_mark_stale_files_as_current(project, oracle):
    project.change(*CHANGE)
    project.run("snakemake", "--touch", "--cores", "1", "--forceall")
    assert "Nothing to be done" not in project.run("snakemake", "-n")
    rerun(project, "snakemake", oracle)


@pytest.mark.verify
def test_reverted_setting_is_restored_from_the_cache(finished, changed, oracle, tmp_path):
    """Checkpoint, images and tables of a setting that was tried before are not computed again."""
    before = finished.hashes()
    project = changed[0].copy(tmp_path / "project")
    assert project.hashes() != before
    project.write_config(finished.config())
    logs = project.logs()
    rerun(project, "snakemake", oracle)
    assert project.hashes() == before and project.logs() == logs


def test_dry_run_lists_files_to_restore_and_restores_none(project):
    for name in (IMAGES, UNITS):
        (project.folder / name).unlink()
    output = project.run("snakemake", "-n")
    assert (
        f"{IMAGES} was not there: would be brought back from DVC's cache" in output and "Nothing to be done" in output
    )
    assert not (project.folder / IMAGES).exists() and not (project.folder / UNITS).exists()
    assert f"{UNITS} was not there: would be brought back" in project.run("snakemake", "-n", "--", UNITS)


# --- code ------------------------------------------------------------------------------------------------------------


@pytest.mark.verify
@pytest.mark.parametrize("engine", ["snakemake", "dvc repro"])
def test_order_of_layers_methods_and_analyses_changes_no_artifact(project, oracle, engine):
    analyses = {"analyses": ["joint", "cumulative"], "cumulative": {"orders": 1, "points": 3, "images": 50}}
    small = project.config()["experiments"]["small"] | analyses | {"layers": ["hidden1", "hidden2"]}
    project.change("experiments.small", small)
    project.run(*project.command(engine))
    before = project.hashes()
    methods = dict(reversed(small["methods"].items()))
    order = {"layers": ["hidden2", "hidden1"], "methods": methods, "analyses": ["cumulative", "joint"]}
    project.change("experiments.small", small | order)
    rerun(project, engine, oracle)
    assert project.hashes() == before


@pytest.mark.verify
def test_recomputation_after_code_changes_is_announced(project):
    total = "total = largest + others"
    project.edit("unitscope/scores/selectivity.py", total, "total = 2 * largest + others")
    # As by a version that did not write down which code it ran: of everything.
    shutil.copytree(project.folder, other := project.folder.with_name("other"), symlinks=True)
    plan = " ".join(project.run("snakemake", "-n").split())
    assert re.search(
        r"Other code than today's wrote the results of selectivity \(1\)\. With what is made from them, "
        r"8 jobs are computed again: the last time these took \d+ s, one after another\.",
        plan,
    )
    output = project.snakemake()
    assert output.index("Other code than today's") < output.index("rule selectivity:")
    assert "Other code" not in project.run("snakemake", "-n")
    shutil.rmtree(other / ".snakemake/unitscope")
    (other / "made.lock").unlink()
    plan = " ".join(Project(other).run("snakemake", "-n").split())
    assert "checkpoint (1)" in plan and "images (2)" in plan and "the last time these took" in plan
    shutil.rmtree(other / ".snakemake/metadata")
    assert "`make plan` says how long" in " ".join(Project(other).run("snakemake", "-n").split())


# --- a folder of images, and a network of the user's own -------------------------------------------------------------

NETWORK = """from pathlib import Path

from torch import nn


def network(shape, classes):
    width = int(Path(__file__).with_name("own.txt").read_text())
    first = nn.Linear(shape[0] * shape[1] * shape[2], width)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(width, classes))
"""


@pytest.fixture(scope="session")
def finished_user_study(once) -> Project:
    """Return a finished study of a folder of images and a network of the user's own. Not to be changed."""
    return Project(once("own", compute_user_study) / "project")


def compute_user_study(folder: Path) -> None:
    write_two_classes(folder / "images")
    config = copy.deepcopy(SMALL)
    config["datasets"] = {"digits": {"source": "image_folder", "path": "raw", "test_fraction": 0.25, "mode": "L"}}
    config["networks"]["small"] |= {"source": "python", "model": "own:network", "options": {}, "files": ["own.txt"]}
    config["experiments"]["small"] |= {"layers": ["1"], "methods": {"am": {"steps": 4, "points": 2}}}
    project = Project.create(folder / "project", config)
    (project.folder / "own.py").write_text(NETWORK)
    (project.folder / "own.txt").write_text("6")
    ignored = project.folder / ".gitignore"
    ignored.write_text(ignored.read_text() + "/raw\n")
    (project.folder / "raw").symlink_to(folder / "images")
    project.snakemake()


@pytest.fixture
def user_study(finished_user_study, tmp_path) -> Project:
    """Return a copy whose images lie beside it, behind a link."""
    project = finished_user_study.copy(tmp_path / "project")
    shutil.copytree(finished_user_study.folder.parent / "images", tmp_path / "images")
    (project.folder / "raw").unlink()
    (project.folder / "raw").symlink_to(tmp_path / "images")
    return project


def swap_the_classes(project: Project) -> None:
    raw = (project.folder / "raw").resolve()
    for old, new in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
        (raw / old).rename(raw / new)


def overwrite_images(project: Project) -> None:
    path = (project.folder / "raw").resolve() / "cat/3.bmp"
    content = bytearray(path.read_bytes())
    content[-8:] = bytes(255 - byte for byte in content[-8:])
    path.write_bytes(content)


def point_the_link_elsewhere(project: Project) -> None:
    other = project.folder.parent / "other"
    shutil.copytree((project.folder / "raw").resolve(), other)
    (project.folder / "raw").unlink()
    (project.folder / "raw").symlink_to(other)
    overwrite_images(project)


def edit_the_network(project: Project) -> None:
    project.edit("own.py", "nn.ReLU()", "nn.Tanh()")


def edit_what_the_network_reads(project: Project) -> None:
    (project.folder / "own.txt").write_text("7")


CHANGES = {
    swap_the_classes: ("snakemake", "dvc repro"),
    overwrite_images: ("make run",),
    point_the_link_elsewhere: ("dvc repro",),
    edit_the_network: ("snakemake", "dvc repro"),
    edit_what_the_network_reads: ("make run", "dvc repro"),
}
"""Raw data and code of the user's own are changed, each by every engine."""


@pytest.mark.verify
@pytest.mark.parametrize("change", CHANGES)
def test_changed_raw_data_and_user_code_are_noticed(user_study, change, tmp_path):
    before = user_study.hashes()
    change(user_study)
    scratch = Project.create(tmp_path / "scratch", user_study.config())
    for file in ("own.py", "own.txt"):
        shutil.copy(user_study.folder / file, scratch.folder / file)
    (scratch.folder / "raw").symlink_to((user_study.folder / "raw").resolve())
    scratch.run("snakemake", "--cores", "8", "--no-hooks")
    assert scratch.hashes() != before
    others = [user_study.copy(tmp_path / engine) for engine in CHANGES[change][1:]]
    for engine, project in zip(CHANGES[change], [user_study, *others], strict=True):
        project.run(*project.command(engine))
        assert project.hashes() == scratch.hashes()
        assert "Nothing to be done" in project.run("snakemake", "-n")
        assert project.run("dvc", "repro").count("Running stage") == 1
        if engine == "dvc repro":
            restored_by_a_colleague(project)


@pytest.mark.verify
@pytest.mark.parametrize(
    ("gone", "engine"),
    [
        *(("nothing there", engine) for engine in ENGINES),
        ("an empty folder", "snakemake"),
        ("an empty folder", "dvc repro"),
    ],
)
def test_study_runs_without_its_raw_images(user_study, engine, gone, tmp_path):
    before = user_study.hashes()
    user_study.run("dvc", "remote", "modify", "store", "url", str(tmp_path / "store"))
    user_study.commit("results")
    user_study.run("python", "-m", "unitscope", "push")
    (tmp_path / "images").rename(tmp_path / "unmounted")
    if gone == "an empty folder":
        (tmp_path / "images").mkdir()
    output = user_study.run(*user_study.command(engine))
    assert user_study.hashes() == before and "is not here; the data set that was made from it is used" in output
    # A colleague has never had them.
    colleague = user_study.clone(tmp_path / "colleague")
    colleague.run("python", "-m", "unitscope", "restore")
    assert colleague.hashes() == before
    colleague.change("experiments.small.methods.am.steps", 6)
    colleague.run(*colleague.command(engine))
    after = colleague.hashes()
    assert after["results/small/images/1.am.h5"] != before["results/small/images/1.am.h5"]
    assert after["data/datasets/digits.h5"] == before["data/datasets/digits.h5"]
    # What needs them is refused before anything is deleted.
    colleague.change("datasets.digits.test_fraction", 0.5)
    done = colleague.try_to_run(*colleague.command("snakemake"))
    assert done.returncode and "datasets.digits.path: there is nothing at raw" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout and colleague.hashes() == after


@pytest.mark.verify
def test_missing_file_of_a_user_network(user_study):
    before = user_study.hashes()
    (user_study.folder / "own.txt").rename(user_study.folder / "elsewhere")
    user_study.change("networks.small.training.epochs", 2)
    done = user_study.try_to_run(*user_study.command("snakemake"))
    assert (
        done.returncode
        and "networks.small.files: 'own.txt' is no file" in done.stdout
        and user_study.hashes() == before
    )


@pytest.mark.verify
def test_index_without_its_images_deletes_no_artifact(user_study, tmp_path):
    user_study.change("datasets.digits.store", "index")
    user_study.snakemake()
    before = user_study.hashes()
    (tmp_path / "images").rename(tmp_path / "unmounted")
    assert "Nothing to be done" in user_study.snakemake()
    user_study.change("networks.small.training.epochs", 2)
    done = user_study.try_to_run(*user_study.command("snakemake"))
    assert done.returncode and "there is nothing at raw, which data/checkpoints/small.pt needs" in done.stdout, (
        done.stdout
    )
    assert user_study.hashes() == before


# --- work that was cut off -------------------------------------------------------------------------------------------


@pytest.mark.verify
@pytest.mark.parametrize(
    ("damage", "engine"),
    [("cut off", "snakemake"), ("cut off", "dvc repro"), ("flipped", "make run"), ("flipped", "snakemake")],
)
def test_damaged_resume_files_are_dropped(project, oracle, engine, damage, tmp_path):
    project.change("networks.small.training.epochs", 6)
    project.change("experiments.small.methods.am.steps", 64)
    project.change("experiments.small.images", {"batch": 2})
    kills = {"checkpoint|augmented": "checkpoints/small/*/epoch*.pt", "images|Adam.step": "small/images/*/*/*.npz"}
    for killed, pieces in kills.items():
        armed = tmp_path / "armed"
        armed.touch()
        environment = {
            "PYTHONPATH": KILL_AT,
            "KILL_AT": f"{killed}|300|{armed}",
        }
        project.try_to_run("snakemake", "--cores", "8", "--keep-going", **environment)
        resume_files = sorted((project.folder / ".resume").glob(pieces))
        assert not armed.exists() and resume_files, f"nothing was kept: {killed}"
        if damage == "cut off":
            resume_files[-1].write_bytes(resume_files[-1].read_bytes()[:-50])
        else:
            flip(resume_files[-1], -50)
    rerun(project, engine, oracle)
    assert "is damaged, and is dropped" in "".join(
        path.read_text() for path in (project.folder / "logs").rglob("*.log")
    )


# --- what is recorded ------------------------------------------------------------------------------------------------


def test_run_without_jobs_still_records_artifacts(project):
    for name in ("dvc.lock", "made.lock"):
        (project.folder / name).unlink()
    assert "Nothing to be done" in project.snakemake()
    assert (project.folder / "dvc.lock").is_file() and (project.folder / "made.lock").is_file()
    assert "up to date" in project.run("dvc", "status", "dataset@digits", "checkpoint@small", "analysis@small")


@pytest.mark.verify
def test_lock_file_of_another_commit_is_noticed(project):
    lock = project.folder / "dvc.lock"
    older = lock.read_bytes()
    project.change("experiments.small.figures", {"dpi": 60})
    project.snakemake()
    newer = project.locks()
    # As where somebody has killed DVC before it could write, or has taken one of the two files from an older commit.
    lock.write_bytes(older)
    done = project.try_to_run("python", "-m", "unitscope", "push")
    assert done.returncode == 1 and "dvc.lock and made.lock differ" in done.stdout
    assert "Nothing to be done" in project.snakemake()
    assert project.locks() == newer


@pytest.mark.verify
def test_dvc_stage_records_nothing_after_the_config_was_edited_during_it(project):
    (followed,) = (project.folder / "data/study/experiments").glob("*.json")
    followed.write_text(followed.read_text().replace('"steps": 4', '"steps": 5'))
    locks = project.locks()
    done = project.try_to_run("python", "-m", "unitscope", "reproduce", "experiment_small")
    assert done.returncode == 1 and "has changed while the stage ran" in " ".join(done.stdout.split())
    assert project.locks() == locks


@pytest.mark.verify
def test_files_of_earlier_settings_are_recorded_only_unmodified(project):
    project.change("experiments.small.methods", {"am": {"steps": 4, "points": 2}})
    project.snakemake()
    leftover = "results/small/images/hidden1.iam.h5"
    assert (project.folder / leftover).is_file()
    (project.folder / "results/small/notes.txt").write_text("mine")
    project.change("experiments.small.figures", {"dpi": 60})
    recorded = project.locks()
    project.snakemake()
    assert project.locks() != recorded
    flip(project.folder / leftover)
    project.change("experiments.small.figures", {"dpi": 70})
    recorded = project.locks()
    assert f"{leftover} belongs to earlier settings, and has changed" in " ".join(project.snakemake().split())
    done = project.try_to_run("dvc", "repro")
    assert done.returncode and project.locks() == recorded
    (project.folder / leftover).unlink()
    project.snakemake()
    assert project.locks() != recorded


def test_lost_and_damaged_files_of_the_store_are_reported_and_repaired(project, tmp_path):
    environment = {"PYTHONPATH": str(project.folder)}
    project.run("dvc", "remote", "modify", "store", "url", str(tmp_path / "store"))
    project.commit("results")
    project.run("python", "-m", "unitscope", "push", **environment)
    objects = {path.name: path for path in (tmp_path / "store/files/md5").rglob("*") if path.is_file()}

    def stored(name: str) -> Path:
        md5 = hashlib.md5((project.folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        return objects[md5[2:]]

    stored(CHECKPOINT).unlink()
    flip(stored(UNITS), 40)
    done = project.try_to_run("python", "-m", "unitscope", "verify", "--store", **environment)
    text = " ".join(done.stdout.split())
    assert done.returncode == 1 and f"{CHECKPOINT} is missing" in text and f"{UNITS} is damaged" in text
    output = project.run("python", "-m", "unitscope", "verify", "--store", "--repair", **environment)
    assert f"{CHECKPOINT} is missing: put back" in output
    project.run("python", "-m", "unitscope", "verify", "--store", **environment)
    colleague = project.clone(tmp_path / "colleague")
    colleague.run("python", "-m", "unitscope", "restore")
    assert colleague.hashes() == project.hashes()
    # The cache is looked at before anything is sent, and mended from here.
    cached = project.folder / ".dvc/cache/files/md5" / stored(UNITS).relative_to(tmp_path / "store/files/md5")
    flip(cached, 40)
    done = project.try_to_run("python", "-m", "unitscope", "verify", "--cache", **environment)
    assert done.returncode == 1 and f"{UNITS} is damaged" in " ".join(done.stdout.split())
    project.run("python", "-m", "unitscope", "push", **environment)
    project.run("python", "-m", "unitscope", "verify", "--cache", **environment)


def test_other_package_versions_are_reported_once(project):
    lock = project.folder / "made.lock"
    lock.write_text(lock.read_text().replace('"versions": "python ', '"versions": "python 2.7, formerly '))
    output = project.run("python", "-m", "unitscope", "verify")
    assert output.count("were made with python 2.7 (now ") == 1
    output = project.run("python", "-m", "unitscope", "summary")
    assert output.count("were made with python 2.7 (now ") == 1


def test_rerun_triggers_mtime_uses_time_stamps(project):
    by_time = ("snakemake", "-n", "--rerun-triggers", "mtime")
    os.utime(project.folder / IMAGES)
    assert "Nothing to be done" in project.run(*by_time)
    (project.folder / IMAGES).write_bytes(b"other")
    assert "Nothing to be done" not in project.run(*by_time)
    project.snakemake()
    project.change("experiments.small.methods.am.steps", 6)
    assert "Nothing to be done" in project.run(*by_time)
    assert "Nothing to be done" not in project.run("snakemake", "-n")


def test_planning_imports_no_torch_and_starts_no_process(project):
    """A normal parse starts no process and imports no torch."""
    code = (
        "import subprocess, sys\n"
        "from snakemake.cli import main\n"
        "class Refused(subprocess.Popen):\n"
        "    def __init__(self, words, *more, **named):\n"
        # What importing h5py asks.
        "        assert words == ['uname', '-p'], words\n"
        "        super().__init__(words, *more, **named)\n"
        "subprocess.Popen = Refused\n"
        "try: main(['-n'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'dvc', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.verify
def test_another_config_is_not_recorded_as_the_default_config(project, tmp_path):
    other = tmp_path / "other.yaml"
    config = copy.deepcopy(SMALL)
    config["experiments"]["small"]["methods"]["am"]["steps"] = 6
    other.write_text(yaml.safe_dump(config))
    locks = project.locks()
    command = ("snakemake", "--cores", "8", "--configfile", str(other))
    assert "belongs to config.yaml" in project.try_to_run(*command).stdout
    project.run(*command, "--config", "takeover=true")
    assert project.locks() == locks
