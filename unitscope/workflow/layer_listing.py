"""The layers of an experiment's network that can be tapped: what may be named under `layers` in the config."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from unitscope.errors import UserError
from unitscope.probing.layer import Layer
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.workflow.known_layers import DATASETS
from unitscope.workflow.planning import probe_before_training
from unitscope.workflow.study import load_study


def listing(root: Path, config: Path, name: str) -> Iterator[str]:
    """Build a network without training it, and yield the table of its layers, and why modules are left out.

    Args:
        root: The project's folder.
        config: The config.
        name: Name of an experiment in it.

    Raises:
        UserError: There is no such experiment, or, after the table, it names layers that are not there.
    """
    study = load_study(root, config, check=False)
    if name not in study.experiments:
        raise UserError(f"{config} has no experiment {name!r}; it has {', '.join(study.experiments)}.")
    experiment = study.experiments[name]
    network = study.networks[experiment["network"]]
    stored = root / DATASETS / f"{network['dataset']}.h5"
    probe = probe_before_training(network, study.datasets.get(network["dataset"]), stored)
    yield table(probe.layers, experiment["layers"])
    if reasons := probe.left_out:
        yield "\n".join(["\nLeft out:", *(f"  {path}: {reason}." for path, reason in reasons.items())])
    where = f"experiments.{study.entries[name]}.layers"
    refuse_unknown_layers(
        experiment["layers"], [layer.name for layer in probe.layers], network["model"], where, reasons
    )


def table(layers: Sequence[Layer], target_layers: Iterable[str]) -> str:
    """Return one row per layer; a star marks those that the experiment takes."""
    target_layers = set(target_layers)
    width = max(len("layer"), *(len(layer.name) for layer in layers))
    lines = [f"  {'layer':{width}}  depth  kind    units  map        activation"]
    for layer in layers:
        size = "x".join(map(str, layer.map)) or "-"
        sign = "signed" if layer.signed else "positive"
        star = "*" if layer.name in target_layers else " "
        lines.append(f"{star} {layer.name:{width}}  {layer.depth:5}  {layer.kind:6}  {layer.units:5}  {size:9}  {sign}")
    return "\n".join(lines)
