"""Names of scores and methods: as columns, and as people read them."""

METHOD_NAMES = {"am": "AM", "iam": "IAM", "iam_z": "IAM (z)"}
RS_NAMES = {"rs": "RS", "rs_z": "RS (z)", "rs_q": "RS (q)", "rs_r": "RS (r)"}
"""The forms of RS: raw, over standardized activations, relative to 99th percentiles, and by how many units respond at
least half as strongly as to their own images."""
RS_SCORES = tuple(RS_NAMES)
NATURAL_FORMS = ("rs", "rs_z", "rs_q")
"""The forms of RS that natural images have: RS (r) needs the image generated for each unit."""
NATURAL_SCORES = tuple(f"{score}_natural" for score in NATURAL_FORMS)


def method_name(method: str) -> str:
    """Return the name of a method as people read it."""
    return METHOD_NAMES.get(method, method)
