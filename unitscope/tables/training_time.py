"""How selectivity, RS and their correlation come about in training: the tables of several checkpoints, joined.

The checkpoints belong to one training, or to one for each seed; each has been analysed as an experiment of its own.
Drawing belongs to `unitscope.figures.training_figures`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from unitscope.scores.score_names import RS_SCORES
from unitscope.tables.table_access import Table, correlation_of, layers_of, median_of, methods_of, rows_of
from unitscope.tables.training_columns import TrainingTable


def training_rows(units: Table, layers: Table, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is told of one checkpoint, a row a layer, method and score ("rs", "rs_z", "rs_q", "rs_r").

    Args:
        units: The units table of its experiment.
        layers: The table of correlations of its experiment.
        record: The training record of its network.

    Yields:
        experiment, network, seed, epoch (passes over the training split), test_loss (nats), test_accuracy, layer,
        depth, method, score, units, dead, selectivity and median (medians over living units, of class selectivity and
        of the score), and of their correlation used, spearman, ci_low, ci_high, p_value, reason.
    """
    settings, test = record["settings"], record["test"]
    for layer in layers_of(units):
        layer_units = rows_of(units, layer)
        for method in methods_of(units):
            for score in RS_SCORES:
                correlation = correlation_of(layers, layer, method, "selectivity", score)
                yield {
                    **{name: str(layer_units[name][0]) for name in ("experiment", "network")},
                    **{"seed": settings["seed"], "epoch": len(record["history"])},
                    **{"test_loss": test["loss"], "test_accuracy": test["accuracy"]},
                    **{"layer": layer, "depth": int(layer_units["depth"][0]), "method": method, "score": score},
                    **{"units": len(layer_units["unit"]), "dead": int(layer_units["dead"].sum())},
                    **{
                        "selectivity": median_of(layer_units, "selectivity"),
                        "median": median_of(layer_units, f"{score}_{method}"),
                    },
                    **{
                        name: correlation[name]
                        for name in ("used", "spearman", "ci_low", "ci_high", "p_value", "reason")
                    },
                }


def joined(rows: Iterator[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the rows of all checkpoints as the columns of a table, by seed, then by epoch."""
    ordered = sorted(rows, key=lambda row: (row["seed"], row["epoch"]))
    return TrainingTable.of_rows(ordered)
