"""Settings of Shapley values."""

from typing import Annotated

from annotated_types import Ge, MultipleOf

from unitscope.settings import Count, Integer, Seed, section


@section
class ShapleySettings:
    """Shapley value of each unit within its layer (analysis shapley)."""

    permutations: Annotated[Integer, Ge(2), MultipleOf(2)] = 40
    """Random orders in which the units are removed; each is followed by its reverse, so the number is even."""
    images: Count | None = 250
    """How many images of the test split, as many of each class as may be, held in memory; null takes all."""
    seed: Seed = 0
    """Of the orders."""
    threads: Count = 1
    """Processors of a job; several jobs run at once."""


@section
class ShapleyJob(ShapleySettings):
    """The Shapley values of one layer."""

    batch: Count
    """Images at a time."""
