"""No two artifacts of a study share a path."""

import pytest

from unitscope.errors import UserError
from unitscope.workflow.collisions import refuse_collisions


def test_files_of_different_paths_are_allowed():
    refuse_collisions([("results/a/units.csv", "units"), ("results/a.b/units.csv", "others"), ("results/a.csv", "c")])
    # One job may be named twice.
    refuse_collisions([("results/a.csv", "units"), ("results/a.csv", "units")])


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("results/x/a.b.c.h5", "results/x/a.b.c.h5", r"results/x/a\.b\.c\.h5 would be written by both one and two"),
        ("results/x/Conv1.csv", "results/x/conv1.csv", "which are one file on macOS and Windows"),
        ("results/X/units.csv", "results/x/units.csv", "which are one file on macOS and Windows"),
        ("results/x.csv", "results/x.csv/units.csv", r"results/x\.csv, the folder of results/x\.csv/units\.csv"),
        ("results/x/y/z/units.csv", "results/X", r"results/X, the folder of results/x/y/z/units\.csv"),
    ],
)
def test_files_that_collide_are_named_with_both_writers(first, second, words):
    for order in ([(first, "one"), (second, "two")], [(second, "two"), (first, "one")]):
        with pytest.raises(UserError) as refused:
            refuse_collisions([("results/other.csv", "other"), *order])
        message = str(refused.value)
        assert "one" in message and "two" in message and "Rename one of the two" in message
    with pytest.raises(UserError, match=words):
        refuse_collisions([(first, "one"), (second, "two")])
