"""The analysis of distances by responses, end to end: it makes its own files alone, and no claim."""

import h5py
import numpy as np
from projects import read_result, undeclared

from unitscope.scores.response_distances import neighbourhoods


def test_distances_by_responses(project):
    project.change("experiments.small.analyses", ["responses"])
    # A method that minimizes is none of its.
    project.change("experiments.small.methods.down", {"objective": "am", "minimize": True, "steps": 2, "points": 2})
    executed = project.executed("snakemake")
    assert {job for job in executed if "responses" in job} == {
        *("small/responses/hidden1.am", "small/responses/hidden1.iam", "small/responses_figure")
    }
    project.change("experiments.small.analyses", [])
    assert project.executed("snakemake") == set()
    results = project.folder / "results/small"
    assert not (results / "claims.csv").exists() and undeclared(results.parent) == set()
    assert (results / "figures/dendrogram.png").stat().st_size > 10_000
    for method in ("am", "iam"):
        table = read_result(results / f"responses/hidden1.{method}.csv")
        with h5py.File(results / f"images/hidden1.{method}.h5") as images:
            responses = images["responses"][:]
        expected = neighbourhoods(responses)
        for name, values in vars(expected).items():
            np.testing.assert_array_equal(table[name], values)
        silent = (responses == 0).all((0, 1))
        assert np.array_equal(table["reason"] == "the unit responds to no image", silent)
        assert np.array_equal(np.isnan(table["mean_distance"]), silent)
