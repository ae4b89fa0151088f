"""A short version of `make faults`: one fault of each kind, by the real Snakemake."""

from dataclasses import replace

import faults
import pytest
from faults import POINTS, Flow


@pytest.fixture(scope="module")
def flow(tmp_path_factory) -> Flow:
    """Return a flow whose undisturbed results are known; every fault leaves it as it was."""
    return Flow(tmp_path_factory.mktemp("flow") / "project")


@pytest.fixture
def mounts() -> None:
    """Skip where file systems may not be mounted."""
    if not faults.may_mount():
        pytest.skip("only root may mount file systems")


@pytest.mark.parametrize("number", [0, 1, 3, 6], ids=lambda number: f"{POINTS[number].what}-{POINTS[number].script}")
def test_kill_inside_a_function(flow, number):
    assert len(list(faults.kills_at_points(flow, [replace(POINTS[number], shares=(0.55,))]))) == 1


def test_sigterm_and_ctrl_c(flow):
    assert len(list(faults.stopped(flow))) == 2


def test_killed_snakemake_leaves_a_lock_and_a_running_job(flow):
    assert len(list(faults.snakemake_killed(flow))) == 1


def test_two_concurrent_snakemakes(flow):
    assert len(list(faults.two_at_once(flow))) == 1


def test_full_disk(flow, mounts):
    assert len(list(faults.disk_full(flow, (0.3,)))) == 1


def test_read_only_disk(flow, mounts):
    assert len(list(faults.read_only(flow))) == 1
