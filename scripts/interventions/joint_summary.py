"""Sum up joint ablation, a row a layer, method and border of RS: whether substitutes stand in where RS is high."""

import argparse
from pathlib import Path

import numpy as np

from unitscope.interventions.joint import high
from unitscope.interventions.joint_columns import InteractionsTable, JointTable
from unitscope.randomness import generator
from unitscope.stats.bootstrap import bootstrap
from unitscope.stats.effects import median
from unitscope.stats.statistics_settings import StatisticsSettings
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--joint", type=Path, nargs="*", default=[], help="joint/{layer}.{method}.csv ...")
    program.add_settings(result, StatisticsSettings)
    result.add_argument("--output", type=Path, required=True, help="where the summary goes (.csv)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read every layer's interactions, write the median of what they have over their controls."""
    rows = []
    for path in arguments.joint:
        table = read_table(path, InteractionsTable)
        over = table["interaction"].astype(float) - table["control_mean"].astype(float)
        # Controls of another scale are none.
        over[table["reason"] != ""] = np.nan
        for name, (border, chosen) in high(table["rs"].astype(float), np.isfinite(over)).items():
            layer, method = str(table["layer"][0]), str(table["method"][0])
            seed = generator("joint", arguments.settings.seed, layer, method, name)
            estimate = bootstrap(median, over[chosen], resamples=arguments.settings.resamples, seed=seed)
            n = int(chosen.sum())
            missing = f"none of {len(over)} units has a high RS, substitutes, and controls of their scale"
            rows.append(
                {
                    **{"layer": layer, "method": method, "high": name, "border": border, "n": n},
                    **estimate.columns("effect", "ci_low", "ci_high"),
                    "reason": estimate.reason if n else missing,
                }
            )
    write_table(arguments.output, JointTable.of_rows(rows), JointTable)


if __name__ == "__main__":
    program.run(parser(), main)
