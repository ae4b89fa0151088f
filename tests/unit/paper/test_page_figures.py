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
    claim_layers = {claim: layers.split() for claim, layers in claims.items()}
    return result(name, layers=LAYERS, claims=claim_layers, methods=methods, constant=constant)


def scatter(main, layers, methods=("iam",)):
    table = subset(main.units, layers.split(), methods)
    return score_figures.selectivity_rs(replace(STYLE, width=WIDE), table, main.layers, *RS_SCORES)


def depth(main, layers):
    return depth_figures.depth(replace(STYLE, width=WIDE), subset(main.units, layers.split(), ["iam"]), main.layers)


def assert_drawn(figure, main, *parts, trainings=(), images=None):
    """Assert that a figure of the paper shows parts below one another."""
    assert draw(STYLE, figure, main, trainings or [main], images or {}) == drawing.stacked(STYLE, parts)


def test_figure_1_shows_am_and_iam_of_the_layers_of_its_claim():
    main = experiment(methods=("am", "iam", "iam_z"), C1="hidden", C2="conv1")
    assert_drawn("fig1", main, scatter(main, "hidden", ("am", "iam")))
    picture = Image.open(io.BytesIO(draw(STYLE, "fig1", main, [main], {})))
    assert picture.width == WIDE * STYLE.dpi > STYLE.width * STYLE.dpi


def test_figure_2_shows_a_unit_and_its_substitutes_under_iam():
    main = experiment(methods=("am", "iam"), C6="hidden")
    images = {(tap["layer"], method): by_hand.images(tap) for tap in by_hand.taps(LAYERS) for method in ("am", "iam")}
    table = subset(main.units, ["hidden"], ["iam"])
    assert_drawn("fig2", main, substitutes_figure.substitutes(STYLE, table, images), images=images)


def test_figure_3_shows_selectivity_and_rs_above_their_correlation_by_depth():
    main = experiment(C7="hidden", C8="conv1")
    assert_drawn("fig3", main, scatter(main, "hidden"), depth(main, "conv1"))


def test_panels_of_claims_that_the_experiment_lacks_are_omitted():
    main = experiment(C8="conv1 hidden")
    assert_drawn("fig3", main, depth(main, "conv1 hidden"))


def test_figure_4_shows_the_layers_of_two_claims_the_spread_of_all_and_the_depth():
    main = experiment(C10="conv1", C11="hidden", C12="hidden")
    spread = depth_figures.spread(replace(STYLE, width=WIDE), main.units, *RS_SCORES)
    assert_drawn("fig4", main, scatter(main, "conv1 hidden"), spread, depth(main, "hidden"))


def test_figure_5_shows_scores_alone():
    main = experiment(C13="conv1", C14="hidden")
    assert_drawn("fig5", main, scatter(main, "conv1"))


def test_figure_6_shows_scores_and_depth():
    main = experiment(C14="conv1", C15="hidden")
    assert_drawn("fig6", main, scatter(main, "conv1"), depth(main, "hidden"))


def test_several_trainings_have_a_line_each_over_depth():
    trainings = [experiment(C8="conv1"), experiment("other", constant=("conv1",))]
    trend = depth_figures.trend(replace(STYLE, width=WIDE), [one.layers for one in trainings], ["conv1"])
    assert_drawn("fig3", trainings[0], trend, trainings=trainings)


# --- captions --------------------------------------------------------------------------------------------------------


def row(claim, entry="net"):
    return {"claim": claim, "entry": entry, "verdict": "supported"}


def test_a_caption_lists_the_verdicts_of_its_claims():
    main = experiment()
    rows = [row("C1"), row("C6"), row("C5"), row("C13")]
    fields = caption("fig1", main, [main], rows)
    assert fields["claims"] == [rows[0], rows[2]] and fields["several"] is False
    assert (fields["name"], fields["number"], fields["experiment"]) == ("fig1", "1", "first")
    assert (fields["shows"], fields["expected"]) == CAPTIONS["fig1"][:2]


def test_caption_distinguishes_entries_if_several_have_its_claims():
    main = experiment()
    assert caption("fig1", main, [main], [row("C1", "a"), row("C2", "b")])["several"] is True
    # The other entry answers other claims.
    assert caption("fig1", main, [main], [row("C1", "a"), row("C6", "b")])["several"] is False


@pytest.mark.parametrize(
    ("figure", "trainings"), [("fig1", 1), ("fig2", 1), ("fig3", 3), ("fig4", 3), ("fig5", 1), ("fig6", 3)]
)
def test_trainings_are_counted_where_each_has_a_line(figure, trainings):
    main = experiment()
    assert caption(figure, main, [main] * 3, [])["trainings"] == trainings


def test_claims_of_a_caption_refer_to_its_figure():
    for name, (_, _, claims) in CAPTIONS.items():
        assert {CLAIMS[claim].source[:6] for claim in claims} == {f"Fig. {name.removeprefix('fig')}"}
