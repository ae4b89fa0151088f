"""The recipe of an ascent: a method of the config."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field

from unitscope.errors import UserError
from unitscope.registries import declared, described
from unitscope.settings import Count, Flag, Integer, NaturalNumber, NotNegative, Number, Positive, section

HERE = Path(__file__).parent
OBJECTIVES = declared(HERE / "objectives.py", "objectives")
OPTIMIZERS = declared(HERE / "optimizers.py", "optimizers")
STARTS = declared(HERE / "parametrization.py", "starts")
PARAMETRIZATIONS = declared(HERE / "parametrization.py", "parametrizations")
"""Implementations by name, without importing them."""

if TYPE_CHECKING:
    Objective = str
    Optimizer = str
    Start = str
    Parametrization = str
else:
    # Names that no type checker can look up.
    Objective, Optimizer, Start, Parametrization = (
        Literal[tuple(names)] for names in (OBJECTIVES, OPTIMIZERS, STARTS, PARAMETRIZATIONS)
    )


@section
class Recipe:
    """How images are made.

    Raises:
        UserError: `settled` together with `minimize`.
    """

    objective: Annotated[
        Objective,
        Field(description=f"{described(OBJECTIVES)} Needed by a method that is not called by one of these names."),
    ] = "am"
    target: Literal["activation", "preactivation"] = "activation"
    """Whether the unit is maximized behind its nonlinearity or before it. A unit that is silent on its image has no
    gradient through the ReLU; while that lasts, its pre-activation is the target either way.
    """
    steps: Count = 256
    """Steps of the ascent."""
    learning_rate: Positive = 0.05
    """Length of a step, in units of the pixel range 0 to 1."""
    optimizer: Annotated[Optimizer, Field(description=described(OPTIMIZERS))] = "adam"
    start: Annotated[Start, Field(description=described(STARTS))] = "noise"
    noise: Annotated[Number, Gt(0), Le(0.5)] = 0.1
    """Amplitude of the start's noise."""
    parametrization: Annotated[
        Parametrization, Field(description=f"Values that are optimized. {described(PARAMETRIZATIONS)}")
    ] = "pixels"
    clamp: Flag = True
    """Whether pixels are held in 0 to 1. Free pixels are kept as float32, clamped ones as uint8."""
    jitter: NaturalNumber = 0
    """Largest random shift in pixels, drawn anew for each step."""
    total_variation: NotNegative = 0.0
    """Weight of the total variation that is subtracted."""
    points: Annotated[Integer, Ge(2)] = 17
    """How often the objective is recorded, start and end included."""
    settled: NotNegative = 0.0
    """An ascent ends early where RS is settled: no other unit would pass the target, or fall behind it, at this many
    times the pace between the last two recorded points; 2 to 4 are good numbers, 0 takes all steps.
    """
    unsettled: Annotated[Number, Ge(0), Lt(1)] = 0.0
    """With settled: how many units may still change places when an ascent ends early, as a share of those that are
    ahead of the target; 0.2 is a good number, with settled 2. RS moves by no more than this share of itself if settled
    is right about the pace.
    """
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the passes of the ascent, behind the first float32_steps; responses are in float32 either way."""
    float32_steps: NaturalNumber = 64
    """First steps that are float32 where the precision is bfloat16: in them it is decided to which of many maxima the
    way leads; what is rounded later hardly moves the end.
    """
    float32_share: Annotated[Number, Ge(0), Le(1)] = 0.2
    """Where the precision is bfloat16: share of the network's multiplications below which a layer stays in float32 to
    the end; such layers take little time either way.
    """
    minimize: Flag = False
    """Whether the objective is minimized: an ascent with its sign turned. RS is then the share of units whose
    pre-activation on the image lies below the unit's (RS of the minimum), and a unit whose own is not below 0 has none.
    Not with settled; rs_z and rs_q are undefined, rs_r is not. The total variation is a cost either way. A unit that
    has fallen silent has no gradient left and goes on by its pre-activation, as one that is still silent does on the
    way up.
    """

    def __post_init__(self) -> None:
        if self.minimize and self.settled:
            raise UserError(
                f"settled is {self.settled}, but it asks who is ahead of the unit, and minimize: true leads downhill. "
                "Set settled: 0."
            )

    def recorded_steps(self) -> np.ndarray:
        """Return the steps before which the objective is recorded; the last one is the finished image's."""
        return np.unique(np.linspace(0, self.steps, self.points).round().astype(np.int64))


def computed_from_real_images(objective: str, start: str) -> str:
    """Return which of an objective and a start is computed from real images, for messages; "" if neither is."""
    if objective in OBJECTIVES and "standardized" in OBJECTIVES[objective].flags:
        return f"the objective {objective}"
    if start in STARTS and "real_images" in STARTS[start].flags:
        return f"the start {start!r}"
    return ""
