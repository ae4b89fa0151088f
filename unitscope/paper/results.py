"""An experiment as the page of the reproduction needs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.tables.table_access import Table, layers_of


@dataclass(frozen=True)
class Result:
    """An experiment, as the page needs it.

    Attributes:
        name: Name of the experiment.
        entry: Its name in the config, the same for several trainings of one recipe.
        units: Table of units.
        layers: Table of correlations.
        claims: Table of claims.
        record: The training record of its network.
        claim_layers: The layers that each claim names.
    """

    name: str
    entry: str
    units: Table
    layers: Table
    claims: Table
    record: Mapping[str, Any]
    claim_layers: Mapping[str, Sequence[str]]

    def has_claim(self, claim: str) -> bool:
        """Return whether the experiment answers to a claim."""
        return claim in self.claim_layers

    def rows(self, claim: str, score: str) -> list[dict[str, Any]]:
        """Return the rows of a claim, asked of a score."""
        table = self.claims
        matches = np.flatnonzero((table["claim"] == claim) & (table["score"] == score))
        return [{name: column[row].item() for name, column in table.items()} for row in matches]

    def layers_named(self, *claims: str) -> list[str]:
        """Return the layers that claims name, in the order of the network."""
        named = {layer for claim in claims for layer in self.claim_layers.get(claim, ())}
        return [layer for layer in layers_of(self.units) if layer in named]


def by_entry(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the trainings of each entry of the config."""
    trainings: dict[str, list[Result]] = {}
    for result in results:
        trainings.setdefault(result.entry, []).append(result)
    return trainings
