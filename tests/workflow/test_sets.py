"""Joint and cumulative ablation in a small study, end to end."""

import copy

import numpy as np
import pytest
from projects import SMALL, read_result, undeclared

pytestmark = pytest.mark.verify

POINTS = 4


@pytest.fixture
def results(project):
    """Return the results of a small study with both analyses."""
    study = copy.deepcopy(SMALL)
    study["experiments"]["small"] |= {
        "layers": ["hidden1", "hidden2"],
        "analyses": ["joint", "cumulative"],
        "joint": {"controls": 3},
        "cumulative": {"orders": 2, "points": POINTS, "clamps": ["zero", "mean"], "images": 60, "resamples": 50},
    }
    project.write_config(study)
    project.snakemake()
    return project.folder / "results/small"


def test_joint_and_cumulative_ablation(results):
    for layer in ("hidden1", "hidden2"):
        joint, rs = (read_result(results / f"{folder}/{layer}.iam.csv") for folder in ("joint", "substitution"))
        ablation = read_result(results / f"ablation/{layer}.csv")
        assert np.array_equal(joint["unit"], rs["unit"])
        np.testing.assert_allclose(joint["loss_unit"], ablation["ablation_loss"], atol=1e-6)
        interaction = joint["margin_joint"] - joint["margin_unit"] - joint["margin_set"]
        np.testing.assert_allclose(joint["interaction"], interaction, atol=1e-12)
        # Whatever is not there is explained.
        assert (joint["reason"][np.isnan(joint["control_mean"])] != "").all()
        matched = (joint["scale_ratio"] >= 0.5) & (joint["scale_ratio"] <= 2)
        assert np.array_equal(matched, joint["reason"] == "")
        assert np.array_equal(np.isnan(joint["interaction"]), rs["substitutes"] == "")
        curves = read_result(results / f"cumulative/{layer}.csv")
        drawn = np.isfinite(curves["fraction"])
        assert set(curves["fraction"][drawn & (curves["removed"] == 0)]) == {0.0}
        for clamp in ("zero", "mean"):
            of_clamp = drawn & (curves["clamp"] == clamp)
            for end in (0.0, 1.0):
                # All curves begin with the intact network and end without the layer.
                assert len(set(curves["loss"][of_clamp & (curves["fraction"] == end)])) == 1
    assert set(read_result(results / "joint.csv")["high"]) == {"median", "half"}
    assert undeclared(results.parent) == set()
    areas = read_result(results / "cumulative_areas.csv")
    assert set(areas["layer"]) == {"hidden1", "hidden2", ""}
    defined = areas["reason"] == ""
    assert (areas["accuracy_area_low"] <= areas["accuracy_area"])[defined].all()
    assert (areas["accuracy_area"] <= areas["accuracy_area_high"])[defined].all()
    assert {"selectivity", "random"} <= set(areas["score"][defined])
    for name in ("joint", "cumulative"):
        assert (results / f"figures/{name}.png").stat().st_size > 10_000
