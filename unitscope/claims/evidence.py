"""What claims are held against: the tables of an experiment, and what is known of its network and its images."""

from dataclasses import dataclass

from unitscope.tables.table_access import Table


@dataclass(frozen=True)
class Evidence:
    """What is known of an experiment.

    Attributes:
        name: Name of the experiment.
        units: Its table of units.
        layers: Its table of correlations.
        accuracy: Test accuracy of its network, NaN where there is none.
        test_images: Number of test images.
    """

    name: str
    units: Table
    layers: Table
    accuracy: float
    test_images: int
