"""Layers that several jobs share: the same bytes as from one job, by the real Snakemake."""

import copy

import pytest
from projects import SMALL, Project

IMAGES = [f"results/small/images/{layer}.iam_z.h5" for layer in ("hidden1", "hidden2", "logits")]


def images(project: Project) -> dict[str, str]:
    project.run("snakemake", "--cores", "2", "--", *IMAGES)
    assert not list((project.folder / "results/small/blocks").glob("*"))
    return {name: checksum for name, checksum in project.hashes().items() if name in IMAGES}


@pytest.mark.verify
def test_joined_blocks_equal_the_output_of_one_job(tmp_path):
    config = copy.deepcopy(SMALL)
    config["experiments"]["small"] |= {
        "layers": {"hidden1": {}, "hidden2": {"units": {"sample": 7}}, "logits": {"units": [3, 1, 8]}},
        "seeds": [0, 1],
        "images": {"batch": 4},
        "methods": {"iam_z": {"steps": 12, "settled": 4}},
    }
    project = Project.create(tmp_path / "project", config)
    expected = images(project)
    assert len(expected) == 3
    config["experiments"]["small"]["images"]["block"] = 5
    blockwise = Project.create(tmp_path / "parted", config)
    assert images(blockwise) == expected
    # Of 12, 7 and 3 targets.
    numbers = {"hidden1": 3, "hidden2": 2, "logits": 1}
    blocks = {f"small/images/{layer}.iam_z.{block}" for layer, count in numbers.items() for block in range(count)}
    joined = {f"small/images/{layer}.iam_z.joined" for layer in numbers}
    assert {log for log in blockwise.logs() if "/images/" in log} == blocks | joined
    assert "Nothing to be done" in blockwise.run("snakemake", "-n", "--", *IMAGES)
