"""List the layers of an experiment's network that can be tapped: what may be named under `layers` in the config."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from unitscope.errors import UserError
from unitscope.probing.layer import Layer
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.workflow import program
from unitscope.workflow.known_layers import DATASETS
from unitscope.workflow.planning import probe_before_training
from unitscope.workflow.study import load_study

ROOT = Path(__file__).parent.parent


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("config", type=Path, help="the config (.yaml)")
    result.add_argument("experiment", help="name of an experiment in it")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Build the network without training it, and print a table of its layers."""
    study = load_study(ROOT, arguments.config, check=False)
    if arguments.experiment not in study.experiments:
        raise UserError(
            f"{arguments.config} has no experiment {arguments.experiment!r}; it has {', '.join(study.experiments)}."
        )
    experiment = study.experiments[arguments.experiment]
    network = study.networks[experiment["network"]]
    stored = ROOT / DATASETS / f"{network['dataset']}.h5"
    probe = probe_before_training(network, study.datasets.get(network["dataset"]), stored)
    print(table(probe.layers, experiment["layers"]))
    if reasons := probe.left_out:
        print("\nLeft out:")
        for path, reason in reasons.items():
            print(f"  {path}: {reason}.")
    where = f"experiments.{study.entries[arguments.experiment]}.layers"
    refuse_unknown_layers(experiment["layers"], [layer.name for layer in probe], network["model"], where, reasons)


def table(layers: Sequence[Layer], chosen: Iterable[str]) -> str:
    """Return a row a layer; a star marks those that the experiment takes."""
    chosen = set(chosen)
    width = max(len("layer"), *(len(layer.name) for layer in layers))
    lines = [f"  {'layer':{width}}  depth  kind    units  map        activation"]
    for layer in layers:
        size = "x".join(map(str, layer.map)) or "-"
        sign = "signed" if layer.signed else "positive"
        star = "*" if layer.name in chosen else " "
        lines.append(f"{star} {layer.name:{width}}  {layer.depth:5}  {layer.kind:6}  {layer.units:5}  {size:9}  {sign}")
    return "\n".join(lines)


if __name__ == "__main__":
    program.run(parser(), main)
