"""Sum an experiment up for DVC: accuracy and correlations by layer as metrics, correlations by depth as a plot."""

import argparse
from pathlib import Path

from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.records import read_json, write_json
from unitscope.tables.correlation_columns import DepthTable, LayersTable
from unitscope.tables.table_access import correlation_by_depth
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--layers", type=Path, required=True, help="layers.csv of the experiment")
    result.add_argument("--record", type=Path, required=True, help="record of its checkpoint (.json)")
    result.add_argument("--metrics", type=Path, required=True, help="metrics to write (.json)")
    result.add_argument("--plot", type=Path, required=True, help="table of the plot to write (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Write metrics and plot."""
    layers = read_table(arguments.layers, LayersTable)
    plot = correlation_by_depth(layers)
    spearman: dict[str, dict[str, dict[str, float]]] = {}
    for layer, method, score, value in zip(*plot.values(), strict=True):
        if value == value:
            spearman.setdefault(layer, {}).setdefault(method, {})[score] = value
    test = read_json(arguments.record).get("test", {})
    measured = {key: test[key] for key in ("accuracy", "loss") if key in test}
    write_json(arguments.metrics, {**measured, "spearman": spearman})
    write_table(arguments.plot, plot, DepthTable)


if __name__ == "__main__":
    program.run(parser(), main)
