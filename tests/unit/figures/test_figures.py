"""Figures: real files, the same bytes, texts that can be read, and all that is awkward drawn without a warning."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scores_by_hand as by_hand
from figure_texts import MANY, STYLE, all_texts, assert_readable
from fontTools.ttLib import TTFont
from PIL import Image

from unitscope.errors import UserError
from unitscope.figures import depth_figures, drawing, score_figures, sheet_figures, substitutes_figure, unit_images
from unitscope.figures.style import Style
from unitscope.paper import sensitivity_figure
from unitscope.paper.page_figures import WIDE
from unitscope.scores.score_names import RS_SCORES
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import create_hdf5
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.table_access import methods_of, subset
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow.provenance import script_named

ROOT = Path(__file__).parents[3]
FEW = {"conv1": 12, "hidden": 12}


def overviews(style, records, units, layers, images=None):
    images = images or {(tap["layer"], method): by_hand.images(tap) for tap in records for method in methods_of(units)}
    yield from (score_figures.selectivity_rs(style, units, layers, score) for score in RS_SCORES)
    yield score_figures.selectivity_rs(replace(style, width=WIDE), units, layers, *RS_SCORES)
    yield depth_figures.depth(style, units, layers)
    yield substitutes_figure.substitutes(style, units, images)
    yield from (score_figures.ablation(style, units, layers, score) for score in RS_SCORES)
    yield from (depth_figures.spread(style, units, score) for score in RS_SCORES)
    yield depth_figures.spread(style, units, *RS_SCORES)
    yield depth_figures.trend(style, [layers, layers], [tap["layer"] for tap in records], methods_of(units)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "options", "style"),
    [
        (FEW, {"constant": ("hidden",)}, STYLE),
        (MANY, {"constant": ("features.3", "features.12")}, STYLE),
        ({"a_rather_long.name_of_a.layer": 9}, {"methods": ["am"]}, STYLE),
        (FEW, {"methods": ["am", "iam", "iam_z"]}, STYLE),
        (FEW, {"labels": False}, STYLE),
        ({f"features.{n}": 12 for n in range(6)}, {}, Style(dpi=60, font_size=10, width=6)),
    ],
    ids=["few", "many", "one", "three-methods", "no-labels", "large-type"],
)
def test_overview_figures_are_readable(layers, options, style):
    records, units, correlations = by_hand.experiment(layers, permutations=9, resamples=20, **options)
    for figure in overviews(style, records, units, correlations):
        assert_readable(figure)


def test_trend_shows_each_training_and_the_mean():
    trainings = [by_hand.experiment(FEW, constant=constant)[2] for constant in ((), ("hidden",))]
    axes = depth_figures.trend(STYLE, trainings, list(FEW)).axes[0]
    first, second, mean = (line.get_ydata() for line in axes.lines[1:])
    assert np.isfinite(first).all() and np.isnan(second[1])
    assert mean.tolist() == pytest.approx([(first[0] + second[0]) / 2, first[1]])


def test_spread_is_over_living_scored_units():
    _, units, _ = by_hand.experiment({"a": 14})
    (axes,) = depth_figures.spread(STYLE, units, "rs").axes
    values = units["rs_iam"][np.isfinite(units["rs_iam"])]
    ends, middle = (line.get_ydata() for line in axes.lines[2:])
    assert [*ends, *middle] == np.quantile(values, (0.25, 0.75, 0.5)).tolist()


def test_scores_share_one_scale():
    _, units, layers = by_hand.experiment({"a": 14})
    drawn = score_figures.selectivity_rs(STYLE, units, layers, "rs", "rs_q").axes
    expected = [(score, method) for score in ("rs", "rs_q") for method in ("am", "iam")]
    for axes, (score, method) in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), units[f"{score}_{method}"])
    assert len({axes.get_ylim() for axes in drawn}) == 1
    figure_text = all_texts(score_figures.selectivity_rs(STYLE, units, layers, "rs", "rs_q"))
    assert "RS (q), IAM: ρ" in figure_text.replace("\n", " ") and "RS, AM: ρ" in figure_text.replace("\n", " ")
    first, second = depth_figures.spread(STYLE, units, "rs", "rs_q").axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("RS", "RS (q)")
    assert [[text.get_text() for text in axes.get_xticklabels()] for axes in (first, second)] == [[""], ["a"]]


def test_sensitivity_shows_every_variant_of_every_layer():
    rows = [
        {"layer": layer, "objective": objective, "variant": variant, "score": score, "spearman": value}
        for layer in ("conv1", "conv2")
        for objective in ("am", "iam")
        for score in RS_SCORES
        for variant, value in (("default", 0.2), ("default", 0.3), ("grey preactivation", -0.5), ("max", np.nan))
    ]
    figure = sensitivity_figure.sensitivity(STYLE, rows)
    assert_readable(figure)
    assert len(figure.axes) == 4 and "grey preactivation" in all_texts(figure) and "conv2, IAM" in all_texts(figure)
    raw, *scale_free = figure.axes[0].lines[1:]
    assert len(scale_free) == len(RS_SCORES) - 1
    for marks in (raw, *scale_free):
        assert marks.get_xdata()[:3].tolist() == [0.2, 0.3, -0.5]
    assert np.round(raw.get_ydata()).tolist() == [0, 0, 1, 2]


def test_stacked_figures_are_one_picture():
    _, units, _ = by_hand.experiment({"a": 14})
    one, two = (drawing.stacked(STYLE, [depth_figures.spread(STYLE, units, "rs")] * count) for count in (1, 2))
    heights = [Image.open(io.BytesIO(content)).height for content in (one, two)]
    assert heights[1] == 2 * heights[0] + round(0.15 * STYLE.dpi)
    assert two == drawing.stacked(STYLE, [depth_figures.spread(STYLE, units, "rs")] * 2)


def test_every_correlation_shows_its_n_or_that_it_is_undefined():
    _, units, layers = by_hand.experiment(FEW, constant=("hidden",))
    figure_text = all_texts(score_figures.selectivity_rs(STYLE, units, layers, "rs"))
    assert (
        figure_text.count("n = 10") == 2
        and figure_text.replace("\n", " ").count("ρ undefined, RS is 0 for all 10 units") == 2
    )
    assert "1 dead" in figure_text and "1 unscored" in figure_text
    depth = all_texts(depth_figures.depth(STYLE, units, layers)).splitlines()
    # Two layers, two methods; rs_q has no units at all. Each panel has a tick at 0.
    assert depth.count("10") == 12 and depth.count("0") == 4 + 4


def test_living_units_outside_the_panels_are_counted():
    _, units, layers = by_hand.experiment({"a": 14})
    units["selectivity"][5] = np.nan  # Alive in training, silent on the test images.
    assert all_texts(score_figures.selectivity_rs(STYLE, units, layers, "rs")).count("2 unscored") == 2


def test_an_undefined_correlation_is_not_drawn_as_zero():
    _, units, layers = by_hand.experiment(FEW, constant=("hidden",))
    axes = depth_figures.depth(STYLE, units, layers).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert len(crosses) == 2 and all(line.get_ydata()[0] < -1.1 for line in crosses)
    points = [line for line in axes.lines if line.get_marker() in ("o", "^")]
    assert len(points) == 2


def test_methods_differ_by_colour_and_marker():
    looks = [STYLE.look(number) for number in range(7)]
    assert len({color for color, _ in looks}) == len({marker for _, marker in looks}) == 7


def test_points_are_where_the_scores_are():
    _, units, layers = by_hand.experiment({"a": 12})
    line = score_figures.selectivity_rs(STYLE, units, layers, "rs").axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), units["selectivity"])
    np.testing.assert_array_equal(line.get_ydata(), units["rs_am"])


def test_methods_of_a_layer_share_a_scale_for_small_shares():
    _, units, layers = by_hand.experiment({"a": 12, "b": 12, "c": 12})
    for name, (am, iam) in {"a": (0.04, 0.004), "b": (0.6, 0.6), "c": (0.0, 0.0)}.items():
        in_layer = units["layer"] == name
        units["rs_am"][in_layer], units["rs_iam"][in_layer] = 0.0, 0.0
        units["rs_am"][np.flatnonzero(in_layer)[3:]], units["rs_iam"][np.flatnonzero(in_layer)[3:]] = am, iam
    drawn = score_figures.selectivity_rs(STYLE, units, layers, "rs").axes
    assert [axes.get_yticks().tolist() for axes in drawn] == [[0, 0.05]] * 2 + [[0, 1]] * 4
    (axes,) = depth_figures.spread(STYLE, subset(units, ("a", "c"), ("am", "iam")), "rs").axes
    assert axes.get_yticks().tolist() == [0, 0.025, 0.05]
    assert axes.get_ylim()[1] == pytest.approx(0.052)
    # The longest number stands beside a label of two lines.
    units["rs_am"], units["rs_iam"] = units["rs_am"] / 10, units["rs_iam"] / 100
    assert_readable(score_figures.selectivity_rs(STYLE, subset(units, ("a",), ("am", "iam")), layers, "rs"))


# --- images ----------------------------------------------------------------------------------------------------------


def test_substitutes_shows_the_most_selective_unit_that_has_two():
    records, units, _ = by_hand.experiment(FEW)
    images = {(tap["layer"], method): by_hand.images(tap) for tap in records for method in by_hand.METHODS}
    several = np.array([len(text.split()) > 1 for text in units["substitutes_iam"]])
    best = np.flatnonzero(several)[np.nanargmax(units["selectivity"][several])]
    figure = substitutes_figure.substitutes(STYLE, units, images)
    figure_text = all_texts(figure)
    unit, layer = units["unit"][best], units["layer"][best]
    assert (
        f"unit {unit} of {layer}" in figure_text
        and "unit 2" in figure_text
        and "unit 1" in figure_text
        and "under IAM" in figure_text
    )
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    expected = [images[layer, "iam"].images[0, number, :, :, 0] for number in (unit, 2, 1)]
    for picture, grey in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(picture[..., 1], grey)
    responses = images[layer, "iam"].responses[:, unit]
    ratio = np.median(responses[:, 2] / responses[:, unit])
    assert f"{ratio:.3g}× as strongly" in figure_text.replace("\n", " ")


def test_dead_units_are_not_used_as_substitution_examples():
    records, units, _ = by_hand.experiment({"a": 12})
    for method in by_hand.METHODS:
        units[f"substitutes_{method}"][:-1] = ""
        units[f"substitutes_{method}"][-1] = "2 1"
    assert units["dead"][-1]
    figure_text = all_texts(
        substitutes_figure.substitutes(
            STYLE, units, {("a", method): by_hand.images(records[0]) for method in by_hand.METHODS}
        )
    )
    assert "No unit" in figure_text


def test_substitutes_without_an_image_or_without_any():
    records, units, _ = by_hand.experiment({"a": 12})
    images = {("a", method): by_hand.images(records[0], targets=[5, 7]) for method in by_hand.METHODS}
    units["substitutes_iam"][np.isin(units["unit"], [5, 7], invert=True)] = ""
    figure = substitutes_figure.substitutes(STYLE, units, images)
    assert_readable(figure)
    assert all_texts(figure).count("no image") == 2
    for method in by_hand.METHODS:
        units[f"substitutes_{method}"][:] = ""
    figure = substitutes_figure.substitutes(STYLE, units, images)
    assert_readable(figure)
    assert "No unit" in all_texts(figure)


def test_substitutes_falls_back_to_another_method():
    records, units, _ = by_hand.experiment({"a": 12})
    units["substitutes_iam"][:] = ""
    figure_text = all_texts(substitutes_figure.substitutes(STYLE, units, {("a", "am"): by_hand.images(records[0])}))
    assert "under AM" in figure_text


@pytest.mark.parametrize("count", [1, 5, 12, 70, 230])
def test_sheets_and_responses_are_readable(count):
    records, units, _ = by_hand.experiment({"features.10": count}, permutations=9, resamples=20)
    images = by_hand.images(records[0], channels=3)
    for draw in (sheet_figures.sheet, sheet_figures.responses):
        assert_readable(draw(STYLE, units, "features.10", "am", images))


def test_sheet_is_sorted_by_selectivity_with_the_dead_last():
    records, units, _ = by_hand.experiment({"a": 12})
    images = by_hand.images(records[0], targets=[11, 3, 0, 7])
    figure = sheet_figures.sheet(STYLE, units, "a", "am", images)
    labels = [text.get_text() for text in figure.axes[0].texts[:4]]
    living = sorted([3, 0, 7], key=lambda unit: -units["selectivity"][unit])
    assert [label.split("\n")[0] for label in labels] == [f"unit {unit}" for unit in [*living, 11]]
    assert labels[3] == "unit 11\ndead" and labels[living.index(0)].endswith("silent")
    assert f"sel {units['selectivity'][3]:.2f}" in labels[living.index(3)]
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_array_equal(canvas[:6, :6, 0], images.images[0, [11, 3, 0, 7].index(living[0]), :, :, 0])
    assert "4 of 12 units" in all_texts(figure)


def test_large_images_are_reduced_and_free_pixels_are_shown():
    records, units, _ = by_hand.experiment({"a": 3})
    large = by_hand.images(records[0], side=300)
    canvas = sheet_figures.sheet(STYLE, units, "a", "am", large).axes[0].images[0].get_array()
    assert canvas.shape[1] < 8 * 80
    free = unit_images.UnitImages(large.units, large.images / 255, large.responses)
    np.testing.assert_array_equal(free.of(1), large.of(1))


def test_responses_are_relative_to_the_target_units_response():
    _, units, _ = by_hand.experiment({"a": 4})
    units["selectivity"] = np.array([0.1, 0.2, 0.9, np.nan])
    responses = np.array([[[2, 4, 1, 0], [1, 1, 1, -5], [8, 8, 1, 0.5], [0, 1, 2, 0]]], dtype=np.float32)
    images = unit_images.UnitImages(np.arange(4), np.zeros((1, 4, 6, 6, 1), np.uint8), responses)
    figure = sheet_figures.responses(STYLE, units, "a", "am", images)
    shown = np.ma.filled(figure.axes[0].images[0].get_array().astype(float), np.nan)
    # Order 2, 1, 0, 3; the dead unit is silent.
    by_eye = [[0, 3, 3, -1], [0, 0, 0, -3], [-1, 1, 0, -3], [np.nan] * 4]
    np.testing.assert_allclose(shown, by_eye, atol=1e-6)
    assert "1 silent" in all_texts(figure)


def test_relative_responses_leave_out_seeds_in_which_the_unit_is_silent():
    responses = np.array([[[1, 3]], [[0, 9]], [[2, 2]]], dtype=np.float32)
    images = unit_images.UnitImages(np.array([0]), np.zeros((3, 1, 2, 2, 1), np.uint8), responses)
    assert images.relative_responses().tolist() == [[1.0, 2.0]]


# --- files -----------------------------------------------------------------------------------------------------------


def test_only_shown_image_files_are_read(tmp_path):
    paths = write(tmp_path)
    units = read_table(tmp_path / "units.csv", UnitsTable)
    shown_paths = substitutes_figure.shown(units, paths)
    assert len(shown_paths) == 1
    few, every = (
        substitutes_figure.substitutes(STYLE, units, unit_images.read_images(some)) for some in (shown_paths, paths)
    )
    assert all_texts(few) == all_texts(every) and "No unit" not in all_texts(few)
    units["substitutes_am"][:] = units["substitutes_iam"][:] = ""
    assert substitutes_figure.shown(units, paths) == []


def write(folder, layers=FEW):
    records, units, correlations = by_hand.experiment(layers)
    write_table(folder / "units.csv", units, UnitsTable)
    write_table(folder / "layers.csv", correlations, LayersTable)
    paths = []
    for tap in records:
        for method in by_hand.METHODS:
            paths.append(folder / f"{tap['layer']}.{method}.h5")
            with create_hdf5(paths[-1], {"layer": tap["layer"], "method": method}) as handle:
                for name, values in vars(by_hand.images(tap)).items():
                    handle[name] = values
    return paths


def run(script, *arguments):
    command = [sys.executable, script_named(script, ROOT), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def draw_all(folder, paths, output, **settings):
    settings = ("--settings", json.dumps({"dpi": 50, **settings}), "--output-dir", output)
    tables = ("--units", folder / "units.csv", "--layers", folder / "layers.csv")
    done = run("figures", *tables, "--images", *paths, *settings)
    assert done.returncode == 0, done.stderr
    done = run("sheets", "--layer", "conv1", "--images", *paths[:2], *tables[:2], *settings)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in output.iterdir()}


@pytest.mark.slow
def test_scripts_write_png_and_pdf_deterministically(tmp_path):
    paths = write(tmp_path)
    once = draw_all(tmp_path, paths, tmp_path / "once")
    names = ["selectivity_rs", "selectivity_rs_z", "selectivity_rs_q", "selectivity_rs_r", "depth", "substitutes"]
    names += ["ablation", "ablation_rs_z", "ablation_rs_q", "ablation_rs_r"]
    names += [f"conv1.{method}.{kind}" for method in by_hand.METHODS for kind in ("sheet", "responses")]
    assert sorted(once) == sorted(f"{name}.{kind}" for name in names for kind in ("png", "pdf"))
    for name, content in once.items():
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"%PDF")
        assert b"CreationDate" not in content and b"Software" not in content
    assert draw_all(tmp_path, paths, tmp_path / "twice") == once
    changed = draw_all(tmp_path, paths, tmp_path / "changed", colors=["#CC79A7", "navy"], colormap="BrBG")
    for name in ("selectivity_rs", "depth", "ablation", "conv1.am.responses"):
        assert changed[f"{name}.png"] != once[f"{name}.png"] and changed[f"{name}.pdf"] != once[f"{name}.pdf"]


def test_user_matplotlib_settings_change_nothing(tmp_path):
    import matplotlib

    _, units, layers = by_hand.experiment({"a": 12})
    drawing.save(STYLE, depth_figures.depth(STYLE, units, layers), tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 10, "pdf.fonttype": 3}):
        drawing.save(STYLE, depth_figures.depth(STYLE, units, layers), tmp_path / "mine")
    for kind in ("png", "pdf"):
        assert (tmp_path / f"plain.{kind}").read_bytes() == (tmp_path / f"mine.{kind}").read_bytes()


def streams(path):
    """Return the fonts in a PDF, by the tables that they hold, and all other streams."""
    raw_streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), re.DOTALL)
    plain = [zlib.decompress(stream) for stream in raw_streams]
    fonts = [TTFont(io.BytesIO(stream)) for stream in plain if stream.startswith(b"\0\1\0\0")]
    return fonts, [stream for stream in plain if not stream.startswith(b"\0\1\0\0")]


def test_pdf_fonts_are_subset_without_layout_tables(tmp_path, monkeypatch):
    _, units, layers = by_hand.experiment({"a": 12})
    figure = depth_figures.depth(STYLE, units, layers)
    drawing.save(STYLE, figure, tmp_path / "figure")
    monkeypatch.setattr(drawing, "_fonts_of_outlines", contextlib.nullcontext)
    drawing.save(STYLE, figure, tmp_path / "whole")
    (fonts, other_streams), (whole_fonts, whole_other_streams) = (
        streams(tmp_path / f"{name}.pdf") for name in ("figure", "whole")
    )
    assert other_streams == whole_other_streams and len(fonts) == len(whole_fonts) > 0
    for font, whole_font in zip(fonts, whole_fonts, strict=True):
        assert not {"GDEF", "GPOS", "GSUB"} & set(font.keys()) and "GSUB" in whole_font
        # Without the rules, what they would put in a letter's place is not there.
        for number, name in enumerate(font.getGlyphOrder()):
            assert whole_font.getGlyphID(name) == number and font["hmtx"][name] == whole_font["hmtx"][name]
            assert font["glyf"][name] == whole_font["glyf"][name]


def test_a_large_sheet_has_a_bounded_resolution(tmp_path, monkeypatch):
    records, units, _ = by_hand.experiment({"a": 40})
    monkeypatch.setattr(drawing, "MOST_PIXELS", 50_000)
    drawing.save(STYLE, sheet_figures.sheet(STYLE, units, "a", "am", by_hand.images(records[0])), tmp_path / "sheet")
    from PIL import Image

    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width * picture.height < 52_000


def test_unknown_colour_is_an_error():
    with pytest.raises(UserError, match=r"figures\.colors.*bluue"):
        drawing.check(Style(colors=["bluue"]))
    with pytest.raises(UserError, match=r"figures\.colormap.*nothing"):
        drawing.check(Style(colormap="nothing"))


def test_images_of_another_layer_are_refused(tmp_path):
    paths = write(tmp_path)
    done = run(
        "sheets", "--layer", "conv1", "--images", paths[-1], "--units", tmp_path / "units.csv", "--output-dir", tmp_path
    )
    assert done.returncode == 1 and "hidden" in done.stderr and "Traceback" not in done.stderr
