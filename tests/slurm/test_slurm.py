"""The flow on a real Slurm cluster of one node, through profiles/slurm: a local run's bytes, and what goes wrong."""

import copy
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cluster
import pytest
from cluster import PARTITION
from projects import SMALL, Project

pytestmark = [
    # There is one /etc/slurm.
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(cluster.missing()), reason=cluster.missing()),
]

STUDY = copy.deepcopy(SMALL)
# As on a cluster that has GPUs: the jobs ask for one, and take it where PyTorch finds it.
STUDY["device"] = "auto"
STUDY["experiments"]["small"] |= {"methods": {"iam": {"steps": 4, "points": 2}}, "images": {"block": 5}}

THROUGH_SLURM = [
    *("snakemake", "--profile", "profiles/slurm", "--max-threads", "2"),
    # What this cluster needs and another may not: it keeps no accounts, and a test does not wait.
    *("--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "11"),
]

ON_GPUS = {"checkpoint": 1, "moments": 1, "activations": 1, "images_block": 3, "ablation": 1}
"""Jobs that ask for a GPU, by rule; the layer has 12 units."""

ABLATION = "results/small/ablation/hidden1.csv"


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> dict[str, str]:
    """Return the checksums of what the study writes on this machine alone."""
    project = Project.create(tmp_path_factory.mktemp("local") / "project", STUDY)
    project.run("snakemake", "--cores", "2", "--resources", "gpu=1")
    return project.hashes()


@pytest.fixture(scope="module")
def node():
    """Run a cluster as long as the tests of this file do."""
    with cluster.one_node():
        yield


@pytest.fixture(scope="module")
def submitted(node, tmp_path_factory) -> Project:
    """Return a project whose whole flow went through Slurm. Not to be changed."""
    project = Project.create(tmp_path_factory.mktemp("slurm") / "project", STUDY)
    project.edit("profiles/slurm/config.yaml", "# slurm_partition: NAME", f"slurm_partition: {PARTITION}")
    project.run(*THROUGH_SLURM)
    return project


def rule_of(job: dict[str, str]) -> str:
    """Return the rule of a job of Slurm's; the plugin writes it into the comment."""
    return re.match(r"rule_(.+?)(_wildcards_|$)", job["Comment"])[1]


def test_artifacts_equal_those_of_a_local_run(submitted, local):
    assert submitted.hashes() == local
    assert "Nothing to be done" in submitted.run("snakemake", "-n")


def test_each_job_was_submitted_with_its_resources(submitted):
    jobs = cluster.jobs()
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert {job["Partition"] for job in jobs} == {PARTITION}
    # Each job of the flow but the one that only copies a file, which is not worth a submission.
    assert len(jobs) == len(submitted.logs()) - 1
    on_gpus = [rule_of(job) for job in jobs if job.get("TresPerJob") == "gres:gpu:1"]
    assert Counter(on_gpus) == ON_GPUS
    # One device: none was given to two jobs at once.
    times = sorted((job["StartTime"], job["EndTime"]) for job in jobs if rule_of(job) in ON_GPUS)
    assert all(end <= start for (_, end), (start, _) in pairwise(times))
    assert {(job["MinMemoryNode"], job["TimeLimit"]) for job in jobs if rule_of(job) == "checkpoint"} == {
        ("8000M", "1-00:00:00")
    }


def test_failed_job_is_reported_and_can_be_rerun(submitted, local, tmp_path):
    project = submitted.copy(tmp_path / "project")
    start = "def main(arguments: argparse.Namespace) -> None:\n"
    failing = start + '    raise ValueError("it fails")\n'
    project.edit("scripts/data/taps.py", start, failing)
    (project.folder / "results/small/taps.json").unlink()
    shutil.rmtree(project.folder / ".dvc/cache")
    done = project.try_to_run(*THROUGH_SLURM, "results/small/taps.json")
    assert done.returncode == 1 and "rule taps" in done.stdout, done.stdout
    assert "it fails" in (project.folder / "logs/small/taps.log").read_text()
    project.edit("scripts/data/taps.py", failing, start)
    project.run(*THROUGH_SLURM, "results/small/taps.json")
    assert project.hashes()["results/small/taps.json"] == local["results/small/taps.json"]


def test_cancelled_job_is_reported_and_can_be_rerun(submitted, local, tmp_path):
    project = submitted.copy(tmp_path / "project")
    (project.folder / ABLATION).unlink()
    # It would be brought back.
    shutil.rmtree(project.folder / ".dvc/cache")
    before = {job["JobId"] for job in cluster.jobs()}

    def running() -> list[str]:
        new = [job for job in cluster.jobs() if job["JobId"] not in before]
        return [job["JobId"] for job in new if job["JobState"] == "RUNNING" and rule_of(job) == "ablation"]

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(project.try_to_run, *THROUGH_SLURM, ABLATION)
        cluster.wait_until(lambda: bool(running()), "the ablation to run", seconds=120)
        (job,) = running()
        cluster.slurm("scancel", job)
        done = run.result()
    assert done.returncode == 1 and "rule ablation" in done.stdout, done.stdout
    assert "CANCELLED" in done.stdout and not (project.folder / ABLATION).exists()
    project.run(*THROUGH_SLURM, ABLATION)
    assert project.hashes() == local


def test_code_changed_while_a_job_is_queued_is_refused(submitted, local, tmp_path):
    project = submitted.copy(tmp_path / "project")
    (project.folder / ABLATION).unlink()
    shutil.rmtree(project.folder / ".dvc/cache")
    module = project.folder / "unitscope/interventions/ablation.py"
    whole = module.read_text()
    before = {job["JobId"] for job in cluster.jobs()}
    cluster.slurm("scontrol", "update", f"PartitionName={PARTITION}", "State=DOWN")
    try:
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(project.try_to_run, *THROUGH_SLURM, ABLATION)
            cluster.wait_until(
                lambda: any(job["JobId"] not in before for job in cluster.jobs()), "the ablation to wait", seconds=120
            )
            module.write_text(whole + "\n\nOTHER = 1\n")
            cluster.slurm("scontrol", "update", f"PartitionName={PARTITION}", "State=UP")
            done = run.result()
    finally:
        cluster.slurm("scontrol", "update", f"PartitionName={PARTITION}", "State=UP")
    assert done.returncode == 1, done.stdout
    logs = "".join(path.read_text() for path in (project.folder / ".snakemake/slurm_logs").rglob("*.log"))
    assert "have changed since the run began" in done.stdout + logs
    module.write_text(whole)
    project.run(*THROUGH_SLURM, ABLATION)
    assert project.hashes() == local
    assert "Nothing to be done" in project.run("snakemake", "-n", "--", ABLATION)
