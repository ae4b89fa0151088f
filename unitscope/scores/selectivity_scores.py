"""All selectivity measures of a layer, block by block of units: the columns of selectivity.csv.

The measures themselves are functions of activations in `unitscope.scores.selectivity`, `detection`, `sparseness` and
`information`. Here each block is read once and passed to all of them, so that memory is bounded by the size of a block,
whatever the numbers of units, images and classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unitscope.data.summaries import BLOCK, class_means, unit_blocks
from unitscope.scores import detection, information, selectivity, sparseness

UNDEFINED = (
    *("selectivity", "selectivity_permuted", "selectivity_half0", "selectivity_half1"),
    *("class_information", "class_information_permuted"),
    *("auc", "auc_p", "auc_q", "auc_heldout", "informedness", "hit_rate_fa05", "precision_at_k", "d_prime"),
    *("lifetime_sparseness", "label_entropy", "selectivity_corrected"),
)
"""Columns that are NaN for a dead unit."""


@dataclass(frozen=True)
class LayerScores:
    """Selectivity measures of a layer.

    Attributes:
        columns: Columns of `SelectivityTable` but `layer` and `unit`, each (units,).
        population_sparseness: Mean over images of how unevenly the responses are distributed over the units.
    """

    columns: dict[str, np.ndarray]
    population_sparseness: float


def layer_scores(
    activations: Any,
    train_max: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    permutations: int,
    seed: int,
    bins: int,
    block: int = BLOCK,
) -> LayerScores:
    """Return all selectivity measures of the units of a layer.

    Args:
        activations: (images, units) on the test images, an array or a data set of an HDF5 file.
        train_max: (units,) largest activation over the training images.
        labels: (images,) class numbers.
        classes: Names of the classes; with fewer than two, all that compares classes is NaN.
        permutations: Draws of permuted labels.
        seed: Seed of the permutations.
        bins: Bins of a unit's activation for class information.
        block: Activations that are read at a time.

    Raises:
        UserError: As in `summaries.class_means`.
    """
    images = activations.shape[0]
    population = sparseness.PopulationSparseness(images)
    shuffles = information.shuffles(labels, permutations, seed) if len(classes) >= 2 else []
    by_block, first = [], 0
    for values in unit_blocks(activations, block):
        population.add(values)
        dead = selectivity.dead_units(train_max[first : first + values.shape[1]], values)
        first += values.shape[1]
        columns = {"dead": dead, "lifetime_sparseness": sparseness.lifetime_sparseness(values)}
        if len(classes) >= 2:
            columns |= _class_scores(values, labels, classes, permutations, seed, bins, shuffles)
        by_block.append(columns)
    joined = {name: np.concatenate([columns[name] for columns in by_block]) for name in by_block[0]}
    return LayerScores(_defined(joined, classes), population.value())


def _class_scores(
    values: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    permutations: int,
    seed: int,
    bins: int,
    shuffles: Sequence[np.ndarray],
) -> dict[str, np.ndarray]:
    """Return what compares classes, of a block of units (images, units); classes are numbers."""
    count = len(classes)
    means = class_means(values, labels, classes)
    half0, half1 = selectivity.selectivity_by_half(values, labels, count)
    bits, permuted_bits = information.information_and_null(values, labels, count, bins, shuffles)
    detected = detection.detection(values, labels, count)
    return {
        "selectivity": selectivity.class_selectivity(means),
        "top_class": selectivity.top_class(means),
        "selectivity_permuted": selectivity.permuted_selectivity(values, labels, classes, permutations, seed),
        "selectivity_half0": half0,
        "selectivity_half1": half1,
        "class_information": bits,
        "class_information_permuted": permuted_bits,
        **vars(detected),
        "auc_heldout": detection.heldout_auc(values, labels, count),
        "label_entropy": sparseness.label_entropy(values, labels, np.bincount(labels, minlength=count)),
        "selectivity_corrected": selectivity.corrected_selectivity(values, labels, count),
    }


def _defined(columns: dict[str, np.ndarray], classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the columns with names of classes, adjusted p values, and NaN where a unit is dead."""
    dead = columns["dead"]
    result = {"dead": dead}
    for name in UNDEFINED:
        if name != "auc_q":
            result[name] = np.where(dead, np.nan, columns.get(name, np.full(len(dead), np.nan)))
    result["auc_q"] = detection.false_discovery_rates(result["auc_p"])
    names = np.array([*classes, ""], dtype=object)
    nothing = np.full(len(dead), len(classes))
    # Where no AUC is above 0.5, none of the classes is detected.
    for name, is_defined in (("top_class", np.isfinite(result["selectivity"])), ("auc_class", result["auc"] > 0.5)):
        result[name] = names[np.where(is_defined, columns.get(name, nothing), len(classes))]
    return result
