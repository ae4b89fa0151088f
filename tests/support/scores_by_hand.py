"""Scores of a small experiment, made up, with all that is awkward: dead, silent and unscored units, constants."""

import numpy as np

from unitscope.figures.unit_images import UnitImages
from unitscope.scores.score_names import NATURAL_SCORES
from unitscope.tables.ablation_columns import AblationTable
from unitscope.tables.correlations import layer_correlations
from unitscope.tables.unit_tables import units_table

METHODS = ("am", "iam")


def taps(layers):
    """Return the records of layers, given their names and numbers of units."""
    return [
        {"layer": name, "depth": depth, "kind": "conv", "units": units, "map": [4, 4], "signed": False}
        for depth, (name, units) in enumerate(layers.items(), start=1)
    ]


def selectivity(records, seed=0, labels=True):
    """Return a table of selectivity; the last unit of each layer is dead."""
    generator = np.random.default_rng(seed)
    layer, unit = rows(records)
    dead = np.concatenate([np.arange(tap["units"]) == tap["units"] - 1 for tap in records])
    values = np.where(dead | (not labels), np.nan, generator.random(len(unit)))
    top = np.where(np.isfinite(values), generator.integers(0, 10, len(unit)).astype(str), "")
    permuted = np.where(np.isfinite(values), 0.1, np.nan)
    return {
        "layer": layer,
        "unit": unit,
        "dead": dead,
        "selectivity": values,
        "top_class": top,
        "selectivity_permuted": permuted,
        # The halves agree with the whole and with each other, but for noise.
        **{
            f"selectivity_half{half}": values + np.random.default_rng([seed, 3, half]).normal(0, 0.01, len(unit))
            for half in (0, 1)
        },
        "class_information": values + np.random.default_rng([seed, 1]).random(len(unit)),
        "class_information_permuted": np.where(np.isfinite(values), 0.05, np.nan),
        **detection(values, top, np.random.default_rng([seed, 2])),
    }


def detection(selectivity, top, generator):
    """Return measures of detection and sparseness, which go with selectivity but for noise."""
    noisy = {
        name: np.clip(0.5 + selectivity / 2 + generator.normal(0, 0.05, len(selectivity)), 0.5, 1)
        for name in ("auc", "auc_heldout", "informedness", "hit_rate_fa05", "precision_at_k", "lifetime_sparseness")
    }
    return {
        **{"auc": noisy["auc"], "auc_class": top, "auc_p": selectivity / 10, "auc_q": selectivity / 5},
        **{name: noisy[name] for name in ("auc_heldout", "informedness", "hit_rate_fa05", "precision_at_k")},
        **{"d_prime": selectivity * 3, "lifetime_sparseness": noisy["lifetime_sparseness"]},
        **{"label_entropy": 3 - selectivity, "selectivity_corrected": selectivity - 0.02},
    }


def sparseness(records):
    """Return a table of the population sparseness of layers."""
    shares = np.array([1 - 1 / (1 + tap["depth"]) for tap in records])
    return {"layer": np.array([tap["layer"] for tap in records]), "population_sparseness": shares}


def natural(records, seed=0):
    """Return a table of RS on natural images; dead units have none."""
    generator = np.random.default_rng(seed)
    layer, unit = rows(records)
    dead = np.concatenate([np.arange(tap["units"]) == tap["units"] - 1 for tap in records])
    scores = {name: np.where(dead, np.nan, generator.random(len(unit))) for name in NATURAL_SCORES}
    return {"layer": layer, "unit": unit, **scores, "images_natural": np.where(dead, 0, 9)}


def substitution(tap, method, targets=None, constant=False, seed=0):
    """Return a table of RS; dead and silent units (the first) have none, and rs_q has none at all."""
    generator = np.random.default_rng([seed, tap["depth"], len(method)])
    units = np.arange(tap["units"]) if targets is None else np.asarray(targets)
    quiet = (units == 0) | (units == tap["units"] - 1)
    share = np.zeros(len(units)) if constant else generator.integers(0, tap["units"], len(units)) / tap["units"]
    substitutes = np.where(units > 2, "2 1", "4")
    return {
        "layer": np.full(len(units), tap["layer"]),
        "method": np.full(len(units), method),
        "unit": units,
        "rs": np.where(quiet, np.nan, share),
        "rs_z": np.where(quiet, np.nan, generator.random(len(units))),
        "rs_q": np.full(len(units), np.nan),
        "ties": np.where(quiet, np.nan, 0.0),
        "seeds": np.where(quiet, 0, 2),
        "substitutes": np.where(quiet | constant, "", substitutes),
        "left_out_z": np.zeros(len(units), dtype=int),
        "left_out_q": np.full(len(units), tap["units"]),
        **responding(tap, units, quiet, np.random.default_rng([seed, tap["depth"], len(method), 1])),
        "exceeders": np.where(quiet, np.nan, 0 if constant else 2),
        "left_out_r": np.full(len(units), 2.0 if targets is None else tap["units"]),
        "ascent_failures": np.full(len(units), 1.5 if method == "am" else np.nan),
    }


def responding(tap, units, quiet, generator):
    """Return RS (r) where all units are targets, and the substitutes of the scale-free forms."""
    is_defined = ~quiet & (len(units) == tap["units"])
    shares = {
        name: np.where(is_defined, generator.integers(0, tap["units"], len(units)) / max(tap["units"] - 1, 1), np.nan)
        for name in ("rs_r", "rs_r_quarter", "rs_r_three_quarters")
    }
    texts = {f"substitutes_{form}": np.where(is_defined, "1", "") for form in ("z", "q", "r")}
    return {**shares, **texts}


def ablation(tap, seed=0):
    """Return a table of what ablation costs."""
    generator = np.random.default_rng([seed, tap["depth"]])
    scores = {name: generator.normal(0.01, 0.02, tap["units"]) for name in AblationTable.names()[2:]}
    return {"layer": np.full(tap["units"], tap["layer"]), "unit": np.arange(tap["units"]), **scores}


def images(tap, seed=0, targets=None, channels=1, side=6, seeds=2):
    """Return images and responses of a layer; dead units answer nothing, the first unit is silent."""
    generator = np.random.default_rng([seed, tap["depth"]])
    units = np.arange(tap["units"]) if targets is None else np.asarray(targets)
    responses = generator.gamma(1.0, 1.0, (seeds, len(units), tap["units"])).astype(np.float32)
    responses[:, :, -1] = 0
    responses[:, units == 0] = 0
    pixels = generator.integers(0, 256, (seeds, len(units), side, side, channels), dtype=np.uint8)
    return UnitImages(units, pixels, responses)


def experiment(layers, methods=METHODS, labels=True, constant=(), permutations=99, resamples=200, on_natural=False):
    """Return the taps, the units table and the correlations of an experiment."""
    records = taps(layers)
    scores = [substitution(tap, method, constant=tap["layer"] in constant) for tap in records for method in methods]
    units = units_table(
        "small",
        "net",
        records,
        selectivity(records, labels=labels),
        scores,
        [ablation(tap) for tap in records],
        natural(records) if on_natural else None,
    )
    return (
        records,
        units,
        layer_correlations(
            units, records, permutations, resamples, seed=0, sparseness=sparseness(records), substitutions=scores
        ),
    )


def rows(records):
    """Return the columns layer and unit of a table with a row a unit."""
    return (
        np.concatenate([np.full(tap["units"], tap["layer"]) for tap in records]),
        np.concatenate([np.arange(tap["units"]) for tap in records]),
    )
