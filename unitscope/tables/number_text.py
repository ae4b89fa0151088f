"""Numbers as people read them."""


def two_decimals(value: float) -> str:
    """Return a number for people, without a sign where it is rounded to zero."""
    # Adding 0 takes the sign from a zero.
    return f"{round(value, 2) + 0.0:.2f}"
