"""The flow on a real Slurm cluster of one node, through profiles/slurm: a local run's bytes, and what goes wrong."""

import copy
import re
from collections import Counter

import cluster
import pytest
from cluster import PARTITION
from workflow import SMALL, Project

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

ON_GPUS = {"checkpoint": 1, "activations": 1, "images_block": 3, "ablation": 1}
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


def test_the_artifacts_are_those_of_a_local_run(submitted, local):
    assert submitted.hashes() == local
    assert "Nothing to be done" in submitted.run("snakemake", "-n")


def test_each_job_went_through_slurm_with_what_it_asked_for(submitted):
    jobs = cluster.jobs()
    rules = Counter(map(rule_of, jobs))
    logs = len(submitted.logs())
    print(rules, logs)
    for job in jobs:
        print(
            rule_of(job),
            job["SubmitTime"][-8:],
            job["StartTime"][-8:],
            job["EndTime"][-8:],
            job["RunTime"],
            job.get("TresPerJob"),
            job["CPUs/Task"],
        )
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
