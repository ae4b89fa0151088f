"""Every analysis on networks by hand: a unit with an exact duplicate, none with one, and a dead unit.

The duplicate is also asked twice as loud (and read half as much): then it exceeds its original on every image, while
the network computes the same.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from networks_by_hand import opened, with_stand_in

from unitscope.data.sampling import halves
from unitscope.data.summaries import class_means, unit_statistics
from unitscope.interventions import scale, unit_scales
from unitscope.interventions.ablation import ablation_scores
from unitscope.interventions.cumulative import areas, fractions
from unitscope.interventions.cumulative_removal import cumulative_removal, joint_removal
from unitscope.interventions.joint import interaction_rows, interaction_sums, needed_sets, plans
from unitscope.interventions.rescaling import rescaled
from unitscope.interventions.sets import ClampedSet, removal_by_batch
from unitscope.maximization.maximize import maximize
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.responses import Generated
from unitscope.probing.activations import activations
from unitscope.probing.layer import Layer
from unitscope.probing.probe import Probe
from unitscope.scores import graphs
from unitscope.scores.information import class_information
from unitscope.scores.natural import natural_substitution
from unitscope.scores.predictors import activity, redundancy, weight_norms
from unitscope.scores.score_names import NATURAL_FORMS, RS_SCORES
from unitscope.scores.selectivity import class_selectivity, dead_units, selectivity_by_half
from unitscope.scores.substitution import Substitution, scales_of, substitution
from unitscope.stats import correlation
from unitscope.tables.correlations import layer_correlations
from unitscope.tables.importance import importance_table, partial_table
from unitscope.tables.importance_settings import ImportanceSettings
from unitscope.tables.inhibition import FAILED, inhibition, inhibition_rows
from unitscope.tables.reliability import ScoresBySeed, nulls_table, permuted_draws, reliability_table
from unitscope.tables.table_access import correlation_of
from unitscope.tables.training_time import training_rows
from unitscope.tables.unit_tables import units_table

KINDS = ("alone", "duplicate", "louder", "dead")
CLASSES = ["left", "middle", "right"]
LABELS = np.arange(150) % 3
HALVES = halves(LABELS)
SEEDS = (0, 1, 2)
DETECTION = (
    *("auc", "auc_p", "auc_q", "auc_heldout", "informedness", "hit_rate_fa05", "precision_at_k", "d_prime"),
    *("lifetime_sparseness", "label_entropy", "selectivity_corrected"),
)
FULLY_PREDICTED = 1 - 1e-6
"""R2 of a unit that another tells wholly, but for the smallest ridge."""


def real_images() -> np.ndarray:
    """Return images of one row of three pixels, of which that of the class is brightest; the first else is dark."""
    random = np.random.default_rng(0)
    images = random.integers(0, [64, 128, 96], (150, 1, 3))[..., None]
    images[np.arange(150), 0, LABELS, 0] = random.integers(192, 256, 150)
    return images.astype(np.uint8)


IMAGES = real_images()


@dataclass(frozen=True)
class ScoredNetwork:
    """A network and what has been measured of its layer "units"."""

    layer: Layer
    values: np.ndarray
    dead: np.ndarray
    scales: dict[str, np.ndarray]
    generated: dict[str, Generated]
    scores: dict[str, Substitution]
    table: dict[str, np.ndarray]
    layers: dict[str, np.ndarray]

    @property
    def units(self) -> np.ndarray:
        return np.arange(self.values.shape[1])


@cache
def scored_network(kind: str) -> ScoredNetwork:
    """Run the flow on a network: activations, selectivity, images, substitution, ablation, tables."""
    layer = opened(with_stand_in("duplicate" if kind == "louder" else kind), (1, 1, 3))["units"]
    layer = rescaled(layer, [1, 1, 1, 2]) if kind == "louder" else layer
    (layer_activations,) = activations([layer], [IMAGES])
    values = layer_activations["units"]
    units = np.arange(values.shape[1])
    summary = vars(unit_statistics(values))
    scales = scales_of(summary, signed=False)
    dead = dead_units(summary["max"], values)
    generated = {
        method: maximize(layer, units, Recipe(steps=64, points=2, **recipe), seeds=SEEDS)
        for method, recipe in {
            "am": {},
            "iam": {"objective": "iam"},
            "am-minimum": {"target": "preactivation", "minimize": True},
        }.items()
    }
    scores = {
        method: substitution(images.responses, units, **scales)
        if method != "am-minimum"
        else substitution(-images.preactivations, units)
        for method, images in generated.items()
    }
    lost = ablation_scores(layer, [(IMAGES, LABELS)], {"": np.zeros(len(units)), "_mean": summary["mean"]}, HALVES)
    named = {"layer": np.full(len(units), "units"), "unit": units}
    nothing = np.where(dead, np.nan, 0.0)
    index = np.where(dead, np.nan, class_selectivity(class_means(values, LABELS, CLASSES)))
    by_half = np.where(dead, np.nan, selectivity_by_half(values, LABELS, 3))
    table = units_table(
        "known",
        kind,
        [{"layer": "units", "depth": 1, "kind": "linear", "units": len(units)}],
        {
            **named,
            **{"dead": dead, "selectivity": index, "top_class": units.astype(str), "selectivity_permuted": nothing},
            **{f"selectivity_half{half}": by_half[half] for half in (0, 1)},
            "class_information": class_information(values, LABELS, 3, 10),
            "class_information_permuted": nothing,
            **dict.fromkeys(DETECTION, nothing),
            "auc_class": units.astype(str),
        },
        [
            {
                **named,
                "method": np.full(len(units), method),
                **{name: getattr(scored, name) for name in (*RS_SCORES, "ties", "seeds", "exceeders")},
                **{
                    f"substitutes{form}": np.array(
                        [" ".join(map(str, others)) for others in getattr(scored, f"substitutes{form}")], dtype=object
                    )
                    for form in ("", "_z", "_q", "_r")
                },
            }
            for method, scored in scores.items()
        ],
        [
            {
                **named,
                **{
                    f"ablation_{effect}{clamp}": getattr(change, effect)
                    for clamp, change in lost.items()
                    for effect in ("loss", "accuracy", "worst_class")
                },
                **{f"ablation_loss_half{half}": getattr(lost[""], f"loss_half{half}") for half in (0, 1)},
            }
        ],
        {
            **named,
            **{
                f"{score}_natural": np.concatenate(
                    [getattr(block, score) for block in natural_substitution(values, **scales)]
                )
                for score in NATURAL_FORMS
            },
        },
    )
    layers = layer_correlations(table, taps(len(units)), 99, 99, 0)
    return ScoredNetwork(
        layer,
        values,
        dead,
        scales,
        generated,
        scores,
        table,
        {name: np.array(column) for name, column in layers.items()},
    )


def taps(units: int) -> list[dict[str, Any]]:
    return [{"layer": "units", "depth": 1, "kind": "linear", "units": units, "signed": False}]


def damage_of(network: ScoredNetwork, sets: list[list[int]]) -> dict[tuple[int, ...], np.ndarray]:
    """Return the increase of the loss and the decrease of the margin (2, images) without each set of units."""
    clamped = [ClampedSet(members, np.zeros(len(network.units))) for members in [[], *sets]]
    (part,) = removal_by_batch(network.layer, [(IMAGES, LABELS)], clamped, compare=True)
    changes = np.stack([part.loss - part.loss[0], part.margin[0] - part.margin], axis=1)
    return {tuple(members): change for members, change in zip(sets, changes[1:], strict=True)}


# --- the scores themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["am", "iam"])
def test_exact_duplicate_ties_and_scaled_duplicate_substitutes(method):
    alone, duplicate, louder, dead = (scored_network(kind).scores[method] for kind in KINDS)
    for scores in (alone, duplicate):
        assert not scores.rs.any() and not scores.rs_z.any() and not scores.rs_q.any()
        assert scores.substitutes == [[]] * len(scores.rs)
    assert alone.ties.tolist() == [0, 0, 0] and duplicate.ties.tolist() == [1, 0, 0, 1]
    assert louder.rs.tolist() == [1 / 4, 0, 0, 0] and louder.substitutes == [[3], [], [], []]
    assert not louder.rs_z.any() and not louder.rs_q.any()
    for scores in (duplicate, louder):
        assert scores.rs_r.tolist() == [1 / 3, 0, 0, 1 / 3] and scores.substitutes_r == [[3], [], [], [0]]
    assert not alone.rs_r.any() and not dead.rs_r[:3].any() and np.isnan(dead.rs_r[3])
    assert np.isnan([dead.rs[3], dead.rs_z[3], dead.rs_q[3]]).all() and dead.seeds.tolist() == [3, 3, 3, 0]
    assert not dead.rs[:3].any()


# --- 1. scale --------------------------------------------------------------------------------------------------------


def test_scaled_duplicate_is_a_substitute_only_in_raw_rs():
    for kind in ("alone", "duplicate", "dead"):
        network = scored_network(kind)
        stored = {"iam": scale.Stored(network.units, network.generated["iam"].images)}
        scales = unit_scales.Scales(
            class_means(network.values, LABELS, CLASSES),
            ~network.dead,
            *(np.asarray(network.scales[name]) for name in ("mean", "std", "quantile")),
        )
        factors = np.array([1.0, 1.0, 1.0, 2.0])[: len(network.units)]
        rows = scale.kept(network.layer, stored, scales, [(0, factors)], (IMAGES, LABELS), readout="mean", batch=150)
        change = {row["score"]: row["mean_change"] for row in rows}
        # Unit 0 of four goes from 0 to 1/4.
        assert change == {"rs": 1 / 16 if kind == "duplicate" else 0, "rs_z": 0, "rs_q": 0, "rs_r": 0}
        assert {(row["logits_change"], row["selectivity_change"]) for row in rows} == {(0, 0)}
        assert {row["units"] for row in rows} == {4 if kind == "duplicate" else 3}


# --- 2. importance ---------------------------------------------------------------------------------------------------


def test_duplicate_is_redundant_with_zero_ablation_loss():
    for kind in KINDS:
        network = scored_network(kind)
        redundancies, loss = redundancy(network.values), network.table["ablation_loss"]
        assert (loss[1:3] > 0.1).all() and (redundancies[1:3] < 0.99).all()
        if kind in ("duplicate", "louder"):
            assert (redundancies[[0, 3]] > FULLY_PREDICTED).all() and loss[[0, 3]].tolist() == [0, 0]
        else:
            assert redundancies[0] < 0.99 and loss[0] > 0.1
        if kind == "dead":
            assert np.isnan(redundancies[3]) and loss[3] == 0
            assert activity(network.values)["firing_rate"][3] == activity(network.values)["std"][3] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_importance_of_too_few_units_is_undefined_with_a_reason(kind):
    network = scored_network(kind)
    measured = {"layer": network.table["layer"], "weight_norm": weight_norms(network.layer)}
    parts = {"": network.values, **{f"_half{half}": network.values[half == HALVES] for half in (0, 1)}}
    for end, values in parts.items():
        measured |= {f"{name}{end}": column for name, column in activity(values).items()}
        measured[f"redundancy{end}"] = redundancy(values)
    settings = ImportanceSettings(folds=5, repeats=2, seed=0)
    living = len(network.units) - (kind == "dead")
    for rows in (
        importance_table(network.table, measured, taps(len(network.units)), settings, 50),
        partial_table(network.table, measured, taps(len(network.units)), 50, 0),
    ):
        assert max(rows["used"]) == living and all(rows["reason"])
    partial = {key: rows["reason"][place] for place, key in enumerate(zip(rows["method"], rows["score"], strict=True))}
    if kind == "louder":
        assert "4 units are too few, given 4 scores" in partial["am", "rs"]
    else:
        assert partial["am", "rs"] == f"rs_am is 0 for all {living} units"


# --- 3. joint ablation -----------------------------------------------------------------------------------------------


def test_joint_loss_of_duplicates_equals_the_loss_of_the_unit_alone():
    network = scored_network("louder")
    listed = dict(enumerate(network.scores["iam"].substitutes))
    target_plans = plans(listed, listed, network.values.mean(0).astype(np.float64), 6, (0, "units", "iam"))
    sets = needed_sets(target_plans)
    lost = damage_of(network, [list(one) for one in sets])
    sums = interaction_sums(target_plans, lambda members: lost[tuple(sorted(members))], HALVES)
    rows = list(interaction_rows(target_plans, sums, np.bincount(HALVES), network.scales["mean"], lambda unit: ""))
    ((loss, margin),) = damage_of(scored_network("alone"), [[0]]).values()
    assert rows[0]["interaction"] == pytest.approx(margin.mean(), abs=1e-5) and margin.mean() > 0.1
    assert rows[0]["loss_joint"] == pytest.approx(loss.mean(), abs=1e-6) and loss.mean() > 0.1
    # Its duplicate stands by while random units are removed: nothing interacts.
    assert rows[0]["controls"] == 6 and rows[0]["control_mean"] == 0 and rows[0]["p_value"] == 1 / 7
    assert rows[0]["loss_unit"] == rows[0]["loss_set"] == rows[0]["margin_unit"] == 0
    assert [row["reason"] for row in rows[1:]] == ["no substitutes"] * 3
    assert np.isnan([row["interaction"] for row in rows[1:]]).all()


@pytest.mark.parametrize("kind", ["alone", "duplicate", "dead"])
def test_without_substitutes_there_is_no_interaction(kind):
    network = scored_network(kind)
    scales = network.values.mean(0).astype(np.float64)
    listed = dict(enumerate(network.scores["iam"].substitutes))
    target_plans = plans(listed, listed, scales, 6, (0, "units", "iam"))
    lost = damage_of(network, [list(one) for one in needed_sets(target_plans)])
    why = {unit: "dead" * bool(network.dead[unit]) for unit in network.units}
    sums = interaction_sums(target_plans, lambda members: lost[tuple(members)], HALVES)
    rows = list(interaction_rows(target_plans, sums, np.bincount(HALVES), scales, why.__getitem__))
    assert np.isnan([[row["interaction"], row["p_value"]] for row in rows]).all()
    assert [row["reason"] for row in rows] == ["dead" if one else "no substitutes" for one in network.dead]


def test_sets_that_vote_for_one_class_by_additive_logits_do_not_interact():
    """The cross-entropy's interaction is positive for them all, without any redundancy."""
    generator = torch.Generator().manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 12), torch.nn.ReLU(), torch.nn.Linear(12, 4))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 3
    # All units vote for class 0.
    model[3].weight.data[0].abs_().add_(0.2)
    model[3].weight.data[1:] = 0
    layer = Probe(model, shape=(3, 4, 4), mean=0.5, std=0.25)["1"]
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
    sets = [[], *([unit] for unit in range(12)), *([0, unit] for unit in range(1, 12))]
    clamped = [ClampedSet(members, np.zeros(12)) for members in sets]
    (part,) = removal_by_batch(layer, [(images, np.zeros(60, np.int64))], clamped, compare=True)
    loss, margin = part.loss - part.loss[0], part.margin[0] - part.margin
    for unit in range(1, 12):
        of_margin, of_loss = (change[12 + unit] - change[1] - change[1 + unit] for change in (margin, loss))
        np.testing.assert_allclose(of_margin, 0, atol=1e-5)
        both_are_active = np.abs(loss[1]) * np.abs(loss[1 + unit]) > 1e-9
        assert (of_loss[both_are_active] > 0).all() and both_are_active.any()


def test_the_runner_up_is_that_of_the_intact_network_also_where_it_changes():
    # Unit 1 carries the runner-up, class 1: without it, class 2 would be next.
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1, 2), torch.nn.ReLU(), torch.nn.Linear(2, 3))
    model[1].weight.data, model[1].bias.data = torch.ones(2, 1), torch.zeros(2)
    model[3].weight.data = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    model[3].bias.data = torch.tensor([0.0, 0.0, 1.0])
    layer = Probe(model, shape=(1, 1, 1), mean=0, std=1)["1"]
    clamped = [ClampedSet(members, np.zeros(2)) for members in ([], [0], [1], [0, 1])]
    images = np.full((1, 1, 1, 1), 255, np.uint8)
    (part,) = removal_by_batch(layer, [(images, np.array([0]))], clamped, compare=True)
    np.testing.assert_allclose(part.margin[:, 0], [3 - 2, 0 - 2, 3 - 0, 0 - 0], atol=1e-6)


# --- 4. cumulative ablation ------------------------------------------------------------------------------------------


def test_removing_a_duplicate_and_a_dead_unit_first_costs_nothing():
    for kind, order in (("duplicate", [0, 2, 1, 3]), ("louder", [3, 2, 1, 0]), ("dead", [3, 2, 1, 0])):
        layer, counts = scored_network(kind).layer, range(5)
        real = [(IMAGES, LABELS)]
        lost = cumulative_removal(layer, real, np.zeros(4), [order], counts)
        alike = joint_removal(
            [layer], real, {"units": np.zeros(4)}, [{"units": order}], [{"units": count} for count in counts]
        )
        np.testing.assert_array_equal(alike.correct, lost.correct)
        # Then a class goes with each unit; without any, the logits are equal and the first class is said.
        assert lost.correct.mean(-1)[0] == pytest.approx([1, 1, 2 / 3, 1 / 3, 1 / 3])
        assert lost.loss[0, 1].tolist() == lost.loss[0, 0].tolist()
        assert areas(fractions(5), lost.correct[0].astype(float)).mean() == pytest.approx(2 / 3)


# --- 5. reliability and nulls ----------------------------------------------------------------------------------------


def scores_by_seed(network: ScoredNetwork, method: str) -> ScoresBySeed:
    images, minimizes = network.generated[method], method == "am-minimum"
    before = images.preactivations if minimizes else None
    return ScoresBySeed.of(network.units, images.responses, images.start_responses, network.scales, before)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_reliability_with_and_without_a_scaled_duplicate(kind):
    network = scored_network(kind)
    table = reliability_table(
        network.table, taps(len(network.units)), {("units", "am"): scores_by_seed(network, "am")}, 50, 0
    )
    assert table["used"].tolist() == [3 if kind in ("alone", "dead") else 4] * 4
    assert table["score"].tolist() == list(RS_SCORES) and table["seeds"].tolist() == [3] * 4
    # Both of two equal units respond to the image of either by more than half: RS (r) is 1/3 in every seed.
    varied = {"louder": ("rs", "rs_r"), "duplicate": ("rs_r",)}.get(kind, ())
    rated = [1.0 if score in varied else np.nan for score in RS_SCORES]
    assert table["icc"] == pytest.approx(rated, nan_ok=True)
    for score, icc, reason in zip(table["score"], rated, table["reason"], strict=True):
        constant = f"{score}_am is 0 for all {table['used'][0]} units; RS is the same for all units and seeds"
        assert reason.startswith("no interval below 10 units" if icc == 1 else constant)


@pytest.mark.parametrize("kind", KINDS)
def test_nulls_exclude_dead_units_and_tie_duplicates(kind):
    network = scored_network(kind)
    by_method = {("units", method): scores_by_seed(network, method) for method in ("am", "am-minimum")}
    start = by_method["units", "am"].start["rs"].counts
    if kind == "dead":
        assert np.isnan(start[:, 3]).all()
    # On noise around grey any unit may exceed any other, but a duplicate never its original.
    both = network.generated["am"].start_responses[:, :, [0, -1]]
    assert (both[..., 0] == both[..., 1]).all() == (kind == "duplicate")
    permuted = permuted_draws(network.values, LABELS, 3, 20, 0)
    assert np.isnan(permuted[:, network.dead]).all() and np.isfinite(permuted[:, ~network.dead]).all()
    rows = nulls_table(
        network.table, taps(len(network.units)), by_method, {"units": permuted}, scored_network("alone").table, 50, 0
    )
    living = int((~network.dead).sum())
    kinds = zip(rows["method"], rows["null"], rows["score"], rows["used"], strict=True)
    used = {(method, null): count for method, null, score, count in kinds if score == "rs"}
    assert used == {
        **{("am", null): living for null in ("none", "start", "permuted")},
        **{("am-minimum", null): living for null in ("minimized", "permuted")},
        # "alone" has three units: another network, but for "alone" itself.
        **{(method, "untrained"): 3 if kind == "alone" else 0 for method in ("am", "am-minimum")},
    }
    assert all(why for value, why in zip(rows["spearman"], rows["reason"], strict=True) if np.isnan(value))


def test_class_information_of_duplicate_and_dead_units():
    information = {kind: scored_network(kind).table["class_information"] for kind in KINDS}
    assert information["duplicate"][0] == information["duplicate"][3] == information["louder"][3] > 0.5
    assert information["dead"][3] == 0
    np.testing.assert_array_equal(information["alone"], information["duplicate"][:3])


# --- 6. natural images -----------------------------------------------------------------------------------------------


def test_rs_on_natural_images_equals_rs_on_synthetic_ones():
    for kind in KINDS:
        table = scored_network(kind).table
        for score in NATURAL_FORMS:
            np.testing.assert_array_equal(table[f"{score}_natural"], table[f"{score}_am"])
        correlation = correlation_of(scored_network(kind).layers, "units", "am", "rs_natural", "rs")
        if kind == "louder":
            assert correlation["spearman"] == 1 and correlation["reason"] == "no interval below 10 units"
        else:
            assert np.isnan(correlation["spearman"]) and "is 0 for all" in correlation["reason"]


# --- 7. the substitution graph ---------------------------------------------------------------------------------------


def test_scaled_duplicate_is_the_only_edge():
    for kind in KINDS:
        network = scored_network(kind)
        graph = graphs.substitution_graph(network.generated["iam"].responses, network.units, network.dead)
        record, _ = graphs.measures(graph, 99, np.random.default_rng(0))
        assert record["units"] == record["targets"] == (3 if kind in ("alone", "dead") else 4)
        if kind != "louder":
            assert (
                record["edges"] == 0 and record["reason"] == "no unit is exceeded on its own image: there are no edges"
            )
            continue
        assert np.argwhere(graph.edges).tolist() == [[0, 3]]
        assert record["reciprocity"] == 0 and record["gini"] == 3 / 4 and record["substitutes_universal"] == "3"
        # One edge is as unequal wherever it leads.
        assert record["gini_null"] == 3 / 4 and record["p_value"] == 1
        standard = graphs.substitution_graph(
            network.generated["iam"].responses,
            network.units,
            network.dead,
            network.scales["mean"],
            network.scales["std"],
        )
        assert not standard.edges.any()


# --- 8. inhibition ---------------------------------------------------------------------------------------------------


def test_image_of_a_unit_inhibits_all_but_its_duplicate():
    expected = {"alone": [1, 1, 1], "duplicate": [2 / 3, 1, 1, 2 / 3], "louder": [2 / 3, 1, 1, 2 / 3]}
    for kind in KINDS:
        network = scored_network(kind)
        images = network.generated["iam"]
        silenced = inhibition(images.preactivations, images.responses, network.units)
        rows = list(inhibition_rows({("units", "iam"): (network.units, silenced)}, taps(len(network.units)), "known"))
        shares = [row["inhibited"] for row in rows]
        if kind == "dead":
            assert shares[:3] == [1, 1, 1] and np.isnan(shares[3]) and rows[3]["reason"] == FAILED
        else:
            assert shares == pytest.approx(expected[kind])


def test_rs_of_the_minimum():
    # A dark pixel takes unit 0 to -1/4: its duplicate as far, a louder one twice as far, the dead unit to -1 or below.
    assert not scored_network("alone").scores["am-minimum"].rs.any()
    duplicate = scored_network("duplicate").scores["am-minimum"]
    assert not duplicate.rs.any() and duplicate.ties.tolist()[0] >= 1
    assert scored_network("louder").scores["am-minimum"].rs.tolist() == [1 / 4, 0, 0, 0]
    # A dead unit can be inhibited further.
    assert scored_network("dead").scores["am-minimum"].rs.tolist() == [1 / 4, 1 / 4, 1 / 4, 0]
    assert np.isnan(scored_network("dead").scores["am-minimum"].rs_z).all()


# --- 9. training time ------------------------------------------------------------------------------------------------


def test_training_that_increases_the_scale_of_a_duplicate():
    rows = {}
    for epoch, kind in enumerate(("dead", "duplicate", "louder")):
        record = {"settings": {"seed": 0}, "history": [{}] * epoch, "test": {"loss": 0.0, "accuracy": 1.0}}
        for row in training_rows(scored_network(kind).table, scored_network(kind).layers, record):
            rows[epoch, row["method"], row["score"]] = row
    assert [rows[epoch, "am", "rs"]["dead"] for epoch in range(3)] == [1, 0, 0]
    assert [rows[epoch, "am", "rs"]["reason"] for epoch in range(3)] == [
        "rs_am is 0 for all 3 units",
        "rs_am is 0 for all 4 units",
        "no interval below 10 units",
    ]
    last, louder_table = rows[2, "am", "rs"], scored_network("louder").table
    assert last["spearman"] == correlation.spearman(louder_table["selectivity"], louder_table["rs_am"], 9, 9).value
    assert last["selectivity"] == rows[1, "am", "rs"]["selectivity"] == np.median(louder_table["selectivity"])
    assert rows[2, "am", "rs_z"]["reason"] == "rs_z_am is 0 for all 4 units"
