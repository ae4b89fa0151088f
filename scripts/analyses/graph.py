"""Write the substitution graph of a layer: what is measured of it, its degrees, and GraphML for other programs."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.randomness import generator
from unitscope.scores import graphs
from unitscope.scores.graph_columns import DegreesTable, GraphsTable
from unitscope.scores.graph_settings import GraphSettings
from unitscope.scores.substitution import scales_of
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.tables.table_access import Table, rows_of
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program

PARTIAL = "not all units of the layer are targets"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--images", type=Path, required=True, help="images/{layer}.{method}.h5")
    result.add_argument("--activations", type=Path, required=True, help="activations.h5, for the units' scales")
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    program.add_settings(result, GraphSettings)
    result.add_argument("--measures", type=Path, required=True, help="where a row a score goes (.csv)")
    result.add_argument("--degrees", type=Path, required=True, help="where a row a score and unit goes (.csv)")
    result.add_argument("--graphml", type=Path, required=True, help="where the graph of raw answers goes (.graphml)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Measure the graph on each scale, and write that of raw answers."""
    settings = arguments.settings
    with open_hdf5(arguments.images) as images:
        layer, method = str(images.attrs["layer"]), str(images.attrs["method"])
        units, responses = images["units"][:], images["responses"][:]
    layer_units = rows_of(read_table(arguments.units, UnitsTable), layer)
    scales, missing = read_scales(arguments.activations, layer)
    by_score = {
        score: graphs.substitution_graph(responses, units, layer_units["dead"], *scales[score]) for score in scales
    }
    by_score["rs_r"] = graphs.responding_graph(responses, units, layer_units["dead"])
    missing["rs_r"] = "no unit is active on its own image" if len(units) == responses.shape[-1] else PARTIAL
    measured, degrees = [], []
    for score, graph in by_score.items():
        random = generator("graph", settings.seed, layer, method, score)
        record, by_chance = graphs.measures(graph, settings.permutations, random)
        if missing.get(score) and not len(graph.nodes):
            record["reason"] = missing[score]
        place = {
            "experiment": layer_units["experiment"][0],
            "layer": layer,
            "depth": layer_units["depth"][0],
            "method": method,
        }
        measured.append({**place, "score": score, "dead": layer_units["dead"].sum(), **record, "note": note(graph)})
        out_degrees = dict(zip(graph.targets.tolist(), graph.out_degrees.tolist(), strict=True))
        degrees += [
            {
                "layer": layer,
                "method": method,
                "score": score,
                "unit": unit,
                "in_degree": in_degree,
                "by_chance": chance,
            }
            | {"out_degree": out_degrees.get(unit, np.nan)}
            for unit, in_degree, chance in zip(graph.nodes.tolist(), graph.in_degrees.tolist(), by_chance, strict=True)
        ]
    write_table(arguments.measures, GraphsTable.of_rows(measured), GraphsTable)
    write_table(arguments.degrees, DegreesTable.of_rows(degrees), DegreesTable)
    edges = graphs.strongest_edges(responses, units, by_score["rs"], settings.strongest)
    about = {"experiment": str(layer_units["experiment"][0]), "layer": layer, "method": method}
    about |= {"edges": int(by_score["rs"].edges.sum()), "edges_written": len(edges)}
    write_bytes(arguments.graphml, graphs.graphml(edges, attributes(layer_units, method, by_score["rs"], units), about))


def read_scales(path: Path, layer: str) -> tuple[dict[str, tuple], dict[str, str]]:
    """Return what each score takes from the answers and divides them by, and why a score may be undefined."""
    with open_hdf5(path) as file:
        group = file[f"layers/{layer}"]
        signed = bool(group.attrs["signed"])
        layer_scales = scales_of(group, signed)
    quantile = layer_scales.get("quantile", np.full(len(layer_scales["std"]), np.nan))
    scales = {"rs": (None, None), "rs_z": (layer_scales["mean"], layer_scales["std"]), "rs_q": (None, quantile)}
    why = "activations are signed" if signed else "no unit has 20 positive activations on training images"
    return scales, {"rs_z": "no unit varies over the training images", "rs_q": why}


def note(graph: graphs.Graph) -> str:
    """Say of which nodes edges are not known."""
    nodes, targets = len(graph.nodes), len(graph.targets)
    if targets == nodes:
        return ""
    return f"{nodes - targets} of {nodes} units are no targets, or silent: no edge is known to lead from them"


def attributes(layer_units: Table, method: str, graph: graphs.Graph, units: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is told of each unit of the layer (units,)."""
    columns = {name: layer_units[name] for name in ("selectivity", "top_class")}
    columns |= {score: layer_units[f"{score}_{method}"] for score in ("rs", "rs_z")}
    columns |= {name: layer_units[name] for name in ("ablation_loss", "dead")}
    in_degree = np.zeros(len(layer_units["unit"]), np.int64)
    in_degree[graph.nodes] = graph.in_degrees
    return columns | {"target": np.isin(layer_units["unit"], units), "in_degree": in_degree}


if __name__ == "__main__":
    program.run(parser(), main)
