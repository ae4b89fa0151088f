"""What all tests share: the folder of their helpers, and one finished run that scenarios copy."""

import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# Before anything loads PyTorch: threads that spin while they wait slow the other workers down (as in rules/common.smk;
# measured without it: 82 s instead of 10 for test_faithful.py by two workers on two processors).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Helpers of the tests, and the example of a network of one's own in configs/.
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "support"))

from oracle import Oracle
from projects import CHANGE, SMALL, Project

# How much is tried where examples are drawn: `make test` tries the same few each time, `make fuzz` many new ones. How
# long one takes is no mistake.
DRAWING = settings(deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("test", DRAWING, max_examples=25, derandomize=True, database=None)
settings.register_profile("fuzz", DRAWING, max_examples=1000, print_blob=True)
settings.load_profile("test")


HERE = Path(__file__).parent
VERIFIED = ("slurm", "faults", "fuzz")
"""Folders of tests that take long or need a service."""
TOGETHER = {"slurm", "faults", "atlas", "training", "exported", "analyses", "notebook", "reproduction"}
"""Files whose tests stay on one worker: what they share is costly to prepare, or there can be only one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(HERE).parts[0] != "unit":
            item.add_marker(pytest.mark.no_cover)
        if item.path.relative_to(HERE).parts[0] in VERIFIED and not item.get_closest_marker("fuzz"):
            item.add_marker(pytest.mark.verify)
        # These run the flow first.
        if {"finished", "project", "changed"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


class Together(LoadScopeScheduling):
    """Gives a worker a test, or all tests of a file that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if Path(file).stem.removeprefix("test_") in TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that lets the first worker that asks make something in a folder, and returns the folder."""
    top = tmp_path_factory.getbasetemp()
    top = top.parent if "PYTEST_XDIST_WORKER" in os.environ else top

    def prepare(name: str, compute: Callable[[Path], None]) -> Path:
        folder = top / "shared" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not (folder / "whole").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                compute(folder)
                (folder / "whole").touch()
        return folder

    return prepare


@pytest.fixture
def only_new_objects() -> Iterator[None]:
    """Let `gc.get_objects` list what a test makes alone: a search through what there was before takes a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def finished(once) -> Project:
    """Return a project in which a plain Snakemake has finished, and DVC has recorded it. Not to be changed."""

    def run(folder: Path) -> None:
        Project.create(folder / "project", SMALL).snakemake()

    return Project(once("finished", run) / "project")


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """Return a copy of the finished project."""
    return finished.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def changed(finished: Project, once: Callable[[str, Callable[[Path], None]], Path]) -> tuple[Project, set[str]]:
    """Return the project after another setting of the training, and the jobs that it took. Not to be changed.

    Both states are commits.
    """

    def change(folder: Path) -> None:
        project = finished.copy(folder / "project")
        project.commit("results")
        project.change(*CHANGE)
        (folder / "executed.json").write_text(json.dumps(sorted(project.executed("snakemake"))))
        project.commit("another setting")

    folder = once("changed", change)
    return Project(folder / "project"), set(json.loads((folder / "executed.json").read_text()))


@pytest.fixture
def oracle(finished: Project, once: Callable[[str, Callable[[Path], None]], Path]) -> Oracle:
    """Return what tells the checksums of a run from scratch."""
    return Oracle(finished, once)
