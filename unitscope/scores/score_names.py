"""Names of scores and methods: as columns, and as people read them."""

METHOD_NAMES = {"am": "AM", "iam": "IAM", "iam_z": "IAM (z)"}
RS_NAMES = {"rs": "RS", "rs_z": "RS (z)", "rs_q": "RS (q)"}
"""The three forms of RS: raw, over standardized activations, relative to 99th percentiles."""
RS_SCORES = tuple(RS_NAMES)
NATURAL_SCORES = tuple(f"{score}_natural" for score in RS_SCORES)
"""The forms of RS on natural images."""


def method_name(method: str) -> str:
    """Return the name of a method as people read it."""
    return METHOD_NAMES.get(method, method)
