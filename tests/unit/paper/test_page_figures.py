"""The paper's figures: which parts they are made of, of which layers, and what their captions say."""

import io
from dataclasses import replace

import pytest
import scores_by_hand as by_hand
from PIL import Image
from results_by_hand import result

from unitscope.figures import depth_figures, drawing, score_figures, substitutes_figure
from unitscope.figures.style import Style
from unitscope.paper.page_figures import CAPTIONS, WIDE, caption, draw
from unitscope.paper.paper_claims import CLAIMS
from unitscope.scores.score_names import RS_SCORES
from unitscope.tables.table_access import subset

STYLE = Style(dpi=30)
LAYERS = {"conv1": 5, "hidden": 6}


def experiment(name="first", methods=("iam",), constant=(), **claims):
    asked = {claim: layers.split() for claim, layers in claims.items()}
    return result(name, layers=LAYERS, claims=asked, methods=methods, constant=constant)


def scatter(own, layers, methods=("iam",)):
    table = subset(own.units, layers.split(), methods)
    return score_figures.selectivity_rs(replace(STYLE, width=WIDE), table, own.layers, *RS_SCORES)


def depth(own, layers):
    return depth_figures.depth(replace(STYLE, width=WIDE), subset(own.units, layers.split(), ["iam"]), own.layers)


def assert_drawn(figure, own, *parts, trainings=(), images=None):
    """Assert that a figure of the paper shows parts below one another."""
    assert draw(STYLE, figure, own, trainings or [own], images or {}) == drawing.stacked(STYLE, parts)


def test_figure_1_shows_am_and_iam_of_the_layers_of_its_claim():
    own = experiment(methods=("am", "iam", "iam_z"), C1="hidden", C2="conv1")
    assert_drawn("fig1", own, scatter(own, "hidden", ("am", "iam")))
    picture = Image.open(io.BytesIO(draw(STYLE, "fig1", own, [own], {})))
    assert picture.width == WIDE * STYLE.dpi > STYLE.width * STYLE.dpi


def test_figure_2_shows_a_unit_and_its_substitutes_under_iam():
    own = experiment(methods=("am", "iam"), C6="hidden")
    made = {(tap["layer"], method): by_hand.images(tap) for tap in by_hand.taps(LAYERS) for method in ("am", "iam")}
    table = subset(own.units, ["hidden"], ["iam"])
    assert_drawn("fig2", own, substitutes_figure.substitutes(STYLE, table, made), images=made)


def test_figure_3_shows_selectivity_and_rs_above_their_correlation_by_depth():
    own = experiment(C7="hidden", C8="conv1")
    assert_drawn("fig3", own, scatter(own, "hidden"), depth(own, "conv1"))


def test_a_part_whose_claim_is_not_asked_is_left_out():
    own = experiment(C8="conv1 hidden")
    assert_drawn("fig3", own, depth(own, "conv1 hidden"))


def test_figure_4_shows_the_layers_of_two_claims_the_spread_of_all_and_the_depth():
    own = experiment(C10="conv1", C11="hidden", C12="hidden")
    spread = depth_figures.spread(replace(STYLE, width=WIDE), own.units, *RS_SCORES)
    assert_drawn("fig4", own, scatter(own, "conv1 hidden"), spread, depth(own, "hidden"))


def test_figure_5_shows_scores_alone():
    own = experiment(C13="conv1", C14="hidden")
    assert_drawn("fig5", own, scatter(own, "conv1"))


def test_figure_6_shows_scores_and_depth():
    own = experiment(C14="conv1", C15="hidden")
    assert_drawn("fig6", own, scatter(own, "conv1"), depth(own, "hidden"))


def test_several_trainings_have_a_line_each_over_depth():
    trainings = [experiment(C8="conv1"), experiment("other", constant=("conv1",))]
    trend = depth_figures.trend(replace(STYLE, width=WIDE), [one.layers for one in trainings], ["conv1"])
    assert_drawn("fig3", trainings[0], trend, trainings=trainings)


# --- captions --------------------------------------------------------------------------------------------------------


def row(claim, entry="net"):
    return {"claim": claim, "entry": entry, "verdict": "supported"}


def test_a_caption_lists_the_verdicts_of_its_claims():
    own = experiment()
    rows = [row("C1"), row("C6"), row("C5"), row("C13")]
    found = caption("fig1", own, [own], rows)
    assert found["claims"] == [rows[0], rows[2]] and found["several"] is False
    assert (found["name"], found["number"], found["experiment"]) == ("fig1", "1", "first")
    assert (found["shows"], found["expected"]) == CAPTIONS["fig1"][:2]


def test_entries_are_told_apart_where_several_answer():
    own = experiment()
    assert caption("fig1", own, [own], [row("C1", "a"), row("C2", "b")])["several"] is True
    # The other entry answers other claims.
    assert caption("fig1", own, [own], [row("C1", "a"), row("C6", "b")])["several"] is False


@pytest.mark.parametrize(
    ("figure", "trainings"), [("fig1", 1), ("fig2", 1), ("fig3", 3), ("fig4", 3), ("fig5", 1), ("fig6", 3)]
)
def test_trainings_are_counted_where_each_has_a_line(figure, trainings):
    own = experiment()
    assert caption(figure, own, [own] * 3, [])["trainings"] == trainings


def test_the_claims_of_a_caption_are_made_with_its_figure():
    for name, (_, _, claims) in CAPTIONS.items():
        assert {CLAIMS[claim].source[:6] for claim in claims} == {f"Fig. {name.removeprefix('fig')}"}
