"""The layers of an experiment's network that can be tapped: what may be named under `layers` in the config."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from unitscope.errors import UserError
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.probing.layers import Tap, left_out
from unitscope.workflow.known_layers import DATASETS
from unitscope.workflow.planning import layers_before_training
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
    known, module = layers_before_training(network, study.datasets.get(network["dataset"]), stored)
    yield table(known, experiment["layers"])
    if reasons := left_out(module, known):
        yield "\n".join(["\nLeft out:", *(f"  {path}: {reason}." for path, reason in reasons.items())])
    where = f"experiments.{study.entries[name]}.layers"
    refuse_unknown_layers(experiment["layers"], [tap.layer for tap in known], network["model"], where, reasons)


def table(known: list[Tap], chosen: Iterable[str]) -> str:
    """Return one row per layer; a star marks those that the experiment takes."""
    chosen = set(chosen)
    width = max(len("layer"), *(len(tap.layer) for tap in known))
    lines = [f"  {'layer':{width}}  depth  kind    units  map        activation"]
    for tap in known:
        size = "x".join(map(str, tap.map)) or "-"
        sign = "signed" if tap.signed else "positive"
        star = "*" if tap.layer in chosen else " "
        lines.append(f"{star} {tap.layer:{width}}  {tap.depth:5}  {tap.kind:6}  {tap.units:5}  {size:9}  {sign}")
    return "\n".join(lines)
