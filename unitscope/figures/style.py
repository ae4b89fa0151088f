"""The style of all figures: a section of settings, and what follows from it."""

from dataclasses import field
from typing import Annotated, Any

from annotated_types import Ge, Le

from unitscope.settings import Integer, NonEmpty, Number, Text, section

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")

SMALLEST_TEXT = 7.0
"""Points, at the size of print."""


@section
class Style:
    """How figures look; nothing else is computed again when this changes."""

    dpi: Annotated[Integer, Ge(30), Le(1200)] = 200
    """Resolution of the PNG."""
    width: Annotated[Number, Ge(3), Le(40)] = 7.0
    """Width in inches, as printed; sheets of large layers are wider."""
    font_size: Annotated[Number, Ge(SMALLEST_TEXT), Le(20)] = 8.0
    """Points; nothing is smaller than 7."""
    colors: NonEmpty[Text] = field(default_factory=lambda: list(OKABE_ITO))
    """One for each method in turn, with a marker of its own; by default colours that the colour-blind tell apart."""
    colormap: Text = "PuOr_r"
    """Of response matrices; a diverging one, whose middle is "as strongly as the unit itself"."""

    @property
    def small(self) -> float:
        """Size of the smaller texts, in points."""
        return max(SMALLEST_TEXT, self.font_size - 1)

    def look(self, number: int) -> tuple[str, str]:
        """Return colour and marker of the method of that number."""
        return self.colors[number % len(self.colors)], MARKERS[number % len(MARKERS)]

    def parameters(self) -> dict[str, Any]:
        """Return the style as Matplotlib's settings."""
        return {
            "font.family": "DejaVu Sans",
            "font.size": self.font_size,
            "axes.labelsize": self.font_size,
            "axes.linewidth": 0.6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.labelsize": self.small,
            "ytick.labelsize": self.small,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "pdf.fonttype": 42,
            "path.simplify": True,
        }
