"""Numbers as people read them: in summaries, figures, claims and pages."""

import math

MINUS = "\N{MINUS SIGN}"


def two_decimals(value: float) -> str:
    """Return a number with two decimals, without a sign where it is rounded to zero."""
    # Adding 0 takes the sign from a zero.
    return f"{round(value, 2) + 0.0:.2f}"


def number(value: float) -> str:
    """Return a number with two decimals, a large one without decimals, or "undefined"."""
    if not math.isfinite(value):
        return "undefined"
    return two_decimals(value) if abs(value) < 100 else f"{value:.0f}"


def interval(low: float, high: float, undefined: str = "no interval") -> str:
    """Return an interval in brackets, or `undefined` where it has no lower end."""
    return f"[{number(low)}, {number(high)}]" if math.isfinite(low) else undefined


def small_share(value: float) -> str:
    """Return a share with the decimals that distinguish a small one from none."""
    return f"{value:.1g}" if 0 < value < 0.01 else f"{value:.2f}"


def typeset(text: str) -> str:
    """Return a number's text with a minus sign in place of the hyphen."""
    return text.replace("-", MINUS)
