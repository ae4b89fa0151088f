"""Join what was measured of the substitution graphs of an experiment, and draw them."""

import argparse
from pathlib import Path

import networkx as nx

from unitscope.figures import drawing, graph_figures
from unitscope.figures.style import Style
from unitscope.scores.graph_columns import DegreesTable, GraphsTable
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.tables.table_access import stacked
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--measures", type=Path, nargs="+", required=True, help="graph/{layer}.{method}.csv ...")
    result.add_argument("--degrees", type=Path, nargs="+", required=True, help="graph/{layer}.{method}.degrees.csv ...")
    result.add_argument("--graphml", type=Path, nargs="+", required=True, help="graph/{layer}.{method}.graphml ...")
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    program.add_settings(result, Style)
    result.add_argument("--output", type=Path, required=True, help="graphs.csv to write")
    result.add_argument("--figure", type=Path, required=True, help="the figure (.png), with a .pdf beside it")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Join the tables, write the measures, and draw."""
    measures, degrees = (
        stacked([read_table(path, schema) for path in paths])
        for paths, schema in ((arguments.measures, GraphsTable), (arguments.degrees, DegreesTable))
    )
    write_table(arguments.output, measures, GraphsTable)
    style = arguments.settings
    edges = dict(map(read_edges, arguments.graphml))
    figure = graph_figures.graph(style, read_table(arguments.units, UnitsTable), measures, degrees, edges)
    drawing.save(style, figure, arguments.figure.with_suffix(""))


def read_edges(path: Path) -> tuple[tuple[str, str], graph_figures.Edges]:
    """Return layer and method of a graph, and its edges."""
    graph = nx.read_graphml(path)
    edges = [(int(unit), int(other), weight) for unit, other, weight in graph.edges(data="weight")]
    return (str(graph.graph["layer"]), str(graph.graph["method"])), edges


if __name__ == "__main__":
    program.run(parser(), main)
