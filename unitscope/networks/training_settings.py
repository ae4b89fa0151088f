"""Settings of a training."""

from typing import Annotated, Literal

from annotated_types import Ge, Lt

from unitscope.settings import Count, Flag, NaturalNumber, NotNegative, Number, Positive, section


@section
class TrainingSettings:
    """Stochastic gradient descent with momentum under a one-cycle schedule."""

    epochs: NaturalNumber = 20
    """Passes over the training split; 0 leaves the network untrained."""
    batch: Count = 64
    """Images a step."""
    learning_rate: Positive = 0.03
    """Peak of the schedule."""
    momentum: Annotated[Number, Ge(0), Lt(1)] = 0.9
    """Nesterov momentum."""
    weight_decay: NotNegative = 0.0005
    """L2 penalty."""
    crop: NaturalNumber = 0
    """Largest random shift in pixels; 0: none."""
    flip: Flag = False
    """Whether images are mirrored at random."""
    threads: Count = 8
    """Processors; part of what makes results the same bit by bit."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bfloat16 where the device gains by it."""


@section
class TrainingJob(TrainingSettings):
    """A training, up to one of its checkpoints."""

    stop_after: NaturalNumber | None = None
    """Epochs after which it stops, under the schedule of all epochs; null: after the last."""
