"""List the layers of an experiment's network that can be tapped: what may be named under `layers` in the config."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from unitscope.errors import UserError
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.probing.layers import Tap, left_out
from unitscope.workflow import program
from unitscope.workflow.known_layers import DATASETS
from unitscope.workflow.planning import layers_before_training
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
    known, module = layers_before_training(network, study.datasets.get(network["dataset"]), stored)
    print(table(known, experiment["layers"]))
    if reasons := left_out(module, known):
        print("\nLeft out:")
        for path, reason in reasons.items():
            print(f"  {path}: {reason}.")
    where = f"experiments.{study.entries[arguments.experiment]}.layers"
    refuse_unknown_layers(experiment["layers"], [tap.layer for tap in known], network["model"], where, reasons)


def table(known: list[Tap], chosen: Iterable[str]) -> str:
    """Return a row a layer; a star marks those that the experiment takes."""
    chosen = set(chosen)
    width = max(len("layer"), *(len(tap.layer) for tap in known))
    lines = [f"  {'layer':{width}}  depth  kind    units  map        activation"]
    for tap in known:
        size = "x".join(map(str, tap.map)) or "-"
        sign = "signed" if tap.signed else "positive"
        star = "*" if tap.layer in chosen else " "
        lines.append(f"{star} {tap.layer:{width}}  {tap.depth:5}  {tap.kind:6}  {tap.units:5}  {size:9}  {sign}")
    return "\n".join(lines)


if __name__ == "__main__":
    program.run(parser(), main)
