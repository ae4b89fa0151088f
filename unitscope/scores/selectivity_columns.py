"""Columns of class selectivity and class information."""

from unitscope.storage.columns import Schema, flag, number, text
from unitscope.storage.common_columns import Common


class SelectivityTable(Schema, files=["results/{experiment}/selectivity.csv"]):
    """One row per unit."""

    layer = Common.layer
    unit = Common.unit
    dead = flag()
    """Whether no image activates the unit."""
    selectivity = number("share")
    """Class selectivity over the test images, (largest class mean - mean of the others) / (their sum)."""
    top_class = text()
    """Name of the class with the largest mean activation; empty where selectivity is undefined."""
    selectivity_permuted = number("share")
    """Mean class selectivity under randomly permuted labels."""
    selectivity_half0 = number("share")
    """Class selectivity on the first half of the test images."""
    selectivity_half1 = number("share")
    """Class selectivity on the second half of the test images."""
    class_information = number("bits")
    """Mutual information of the class and the binned activation."""
    class_information_permuted = number("bits")
    """Mean class information under randomly permuted labels."""
