"""The atlas: what the page is told, and the page itself in a real browser, from the disk and without a network."""

import io
import json
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import scores_by_hand as by_hand
from atlas_by_hand import CLAIMS, CLASSES, HOSTILE, LAYERS, whole
from PIL import Image
from projects import ROOT

from unitscope.atlas import content, page_claims
from unitscope.atlas import page as atlas_page
from unitscope.atlas.album import Album, shown
from unitscope.figures import pictures
from unitscope.scores.exemplars import strongest


def write(path, data, sheets, claims=()):
    from plotly.offline import get_plotlyjs

    path.write_text(atlas_page.page(data, sheets, get_plotlyjs(), claims), encoding="utf-8")
    return path


# --- what the page is told -------------------------------------------------------------------------------------------


def test_shown_images_are_unique_and_in_unit_order():
    one, other = (strongest(np.array(values, dtype=np.float32), 2) for values in ([[0, 2], [0, 3]], [[1, 0], [0, 4]]))
    assert one.images.tolist() == [[-1, -1], [1, 0]]
    assert shown([one, other]).tolist() == [1, 0]
    assert shown([]).tolist() == []


def test_undefined_values_are_null_not_zero():
    data, *_ = whole()
    assert data["units"]["scores"]["selectivity"][11] is None
    assert data["units"]["scores"]["activation_positive_q99"][0] is None
    assert data["units"]["scores"]["rs_am"][0] is None
    # Undefined in all units: not offered, but named.
    assert "rs_q_am" not in data["units"]["scores"]
    assert "RS (q), AM" in data["missing"]
    rows = [one for one in data["correlations"] if one["layer"] == "hidden" and one["y"] == "rs_am"]
    assert rows[0]["spearman"] is None and rows[0]["reason"] == "RS, AM is 0 for all 58 units"
    assert plain_pair(data, "hidden", "rs_am", "rs_iam")


def plain_pair(data, layer, x, y):
    return [one for one in data["correlations"] if (one["layer"], one["x"], one["y"]) == (layer, x, y)]


def test_random_orders_are_summarized_by_mean_and_range():
    data, *_ = whole()
    curves = {(one["layer"], one["score"], one["direction"]): one for one in data["cumulative"]}
    assert {layer for layer, *_ in curves} == {"", *LAYERS}
    # One that could not be computed is none.
    assert {score for _, score, _ in curves} == {"class selectivity", "RS, AM", "random"}
    random = curves["hidden", "random", "random"]
    assert random["fraction"] == [0, 0.5, 1]
    assert (random["low"], random["accuracy"], random["high"]) == ([1, 0.6, 0.1], [1, 0.7, 0.1], [1, 0.8, 0.1])
    assert curves["", "RS, AM", "ascending"]["accuracy"] == [1, 0.7, 0.1]
    assert curves["", "RS, AM", "ascending"]["low"] is None
    assert whole(classes=[])[0]["cumulative"] == []


def test_numbers_are_rounded():
    assert content.plain(np.array([0.123456789, np.nan, 1e-9])) == [0.123457, None, 1e-9]
    assert content.plain(np.array([3, 4])) == [3, 4]


def test_only_the_strongest_class_means_are_included():
    data, *_ = whole(classes=[str(number) for number in range(30)])
    means = data["layers"][0]["classMeans"]
    assert len(means["means"][0]) == len(means["classes"][0]) == content.MOST_CLASSES
    assert means["means"][0] == sorted(means["means"][0], reverse=True)
    assert whole()[0]["layers"][0]["classMeans"]["classes"] is None


def test_json_cannot_close_its_script_element():
    value = {"name": HOSTILE + "\u2028\u2029<!--"}
    text = atlas_page.json_text(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON compliant"):
        atlas_page.json_text(np.nan)


def test_script_that_closes_its_element_is_refused():
    for source in ("'</SCRIPT>'", "'<!--'"):
        with pytest.raises(ValueError, match="holds"):
            atlas_page.script_text(source)
    assert atlas_page.script_text("a\r\nb") == "a\nb"


def test_the_claims_of_an_experiment_are_grouped():
    claims = {
        "claim": np.array(["A1", "C10", "C2", "C2"]),
        "source": np.array(["scale", "Fig. 4", "Fig. 1", "Fig. 1"]),
        "layer": np.array(["a", "a", "a", "b"]),
        "method": np.array(["am", "iam", "am", "am"]),
        "score": np.array(["rs", "rs", "rs", "rs"]),
        "statistic": np.array(["delta", "delta", "delta", "delta"]),
        "effect": np.array([0.5, 0.5, np.nan, -0.25]),
        "ci_low": np.array([0.1, 0.1, np.nan, -0.5]),
        "ci_high": np.array([0.9, 0.9, np.nan, 0.0]),
        "level": np.array([0.95, 0.95, 0.95, 0.9]),
        "n": np.array([4, 4, 0, 9]),
        "holds": np.array(["yes", "yes", "open", "no"]),
        "verdict": np.array(["supported", "supported", "inconclusive", "contradicted"]),
        "note": np.array(["", "", "too few", ""]),
    }
    second, tenth, first = page_claims.claim_groups(claims, {"C2": "said", "A1": "asked"})
    # Those of the paper first, each kind by its number.
    assert (first["name"], first["text"], first["source"]) == ("A1", "asked", "scale")
    assert (second["name"], second["text"], tenth["name"]) == ("C2", "said", "C10")
    assert [(row["effect"], row["interval"]) for row in second["rows"]] == [
        ("undefined", "none"),
        ("\N{MINUS SIGN}0.25", "\N{MINUS SIGN}0.50 to 0.00 (90 %)"),
    ]
    assert second["verdicts"] == [
        {"verdict": "inconclusive", "scores": ["RS in a"]},
        {"verdict": "contradicted", "scores": ["RS in b"]},
    ]
    assert tenth["verdicts"] == [{"verdict": "supported", "scores": ["RS"]}]


@pytest.mark.parametrize("exact", [True, False])
def test_sheets_contain_every_image_at_its_position(exact):
    images = np.random.default_rng(0).integers(0, 256, (300, 5, 7, 3), dtype=np.uint8)
    if not exact:
        images[:] = images[:, :1, :1, :1]
    sheets = pictures.sheets([images[:256], images[256:]], exact)
    assert (sheets.size, sheets.count, len(sheets.files)) == ((7, 5), 300, 2)
    for number in (0, 17, 255, 256, 299):
        sheet = np.asarray(Image.open(io.BytesIO(sheets.files[number // 256])).convert("RGB")).astype(int)
        row, column = divmod(number % 256, pictures.COLUMNS)
        left, top = column * sheets.cell[0], row * sheets.cell[1]
        assert np.abs(sheet[top : top + 5, left : left + 7] - images[number]).max() <= (0 if exact else 6)


def test_large_images_are_scaled_down_and_small_ones_shown_pixel_by_pixel():
    album = Album(pixels=20)
    large = album.add([np.zeros((3, 40, 30, 1), dtype=np.uint8)], generated=True)
    small = album.add([np.zeros((3, 8, 8, 1), dtype=np.float32)], generated=True)
    assert (large["size"], large["enlarged"], large["sheet"]) == ((15, 20), False, 0)
    assert (small["size"], small["enlarged"], small["sheet"]) == ((8, 8), True, 1)


def test_page_is_deterministic():
    first, second = (atlas_page.page(data, sheets, "0", CLAIMS) for data, sheets, _ in (whole(), whole()))
    assert first == second
    # What stands in the page beside JSON is escaped too.
    assert HOSTILE not in first and "&lt;img src=x" in first


# --- contrast --------------------------------------------------------------------------------------------------------

STYLE = (ROOT / "unitscope/atlas/web/atlas.css").read_text()
TEXTS = ("ink", "muted", "accent", "yes", "no")
GROUNDS = ("paper", "panel", "chosen")
MARKS = ("edge", *(f"class-{number}" for number in range(7)))


def schemes():
    """Return the variables of the light and of the dark scheme."""
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    values = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in (light, dark)]
    return {"light": values[0], "dark": {**values[0], **values[1]}}


def luminance(color):
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    values = schemes()[scheme]
    for text in TEXTS:
        for ground in GROUNDS:
            assert contrast(values[text], values[ground]) >= 4.5, (text, ground)
    for mark in MARKS:
        assert contrast(values[mark], values["paper"]) >= 3, mark


def test_every_color_is_defined_in_both_schemes():
    rules = re.sub(r":root \{.*?\}", "", STYLE, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;, ])", rules)
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    names = [set(re.findall(r"--([\w-]+):", block)) for block in (light, dark)]
    assert names[0] - names[1] == {"font"}
    colors = set(re.findall(r"(?<!-)color: var\(--([\w-]+)\)", rules))
    assert colors <= set(TEXTS)


# --- in the browser --------------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page with")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def experiment():
    return whole()


@pytest.fixture(scope="module")
def file(tmp_path_factory, experiment):
    data, sheets, _ = experiment
    return write(tmp_path_factory.mktemp("atlas") / "atlas.html", data, sheets, CLAIMS)


class Opened:
    """A page that is open, and what went wrong in it."""

    def __init__(self, browser, file, hash="", **settings):
        self.faults = []
        self.requests = []
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **settings})
        self.page = context.new_page()
        self.page.on("console", lambda message: self.faults.append(message.text) if message.type != "log" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"file://{file}{hash}")
        self.page.wait_for_selector("#scatter .points path")

    def title(self):
        return self.page.inner_text("#unit-title")

    def address(self):
        return self.page.evaluate("location.hash")

    def goes_to(self, unit):
        self.page.wait_for_function("unit => document.getElementById('unit-title').textContent === unit", arg=unit)

    def units(self):
        return self.page.locator("#table tbody tr td:first-child").all_inner_texts()

    def column(self, name):
        heads = [head.rstrip(" ▲▼") for head in self.page.locator("#table th").all_inner_texts()]
        return self.page.locator(f"#table tbody td:nth-child({heads.index(name) + 1})").all_inner_texts()

    def points(self):
        return self.page.evaluate("document.querySelectorAll('#scatter .points path').length")

    def pixels(self, selector):
        """Return the pixels (height, width, 3) of a canvas that is drawn."""
        canvas = self.page.locator(selector).first
        self.page.wait_for_function("canvas => canvas.dataset.drawn", arg=canvas.element_handle())
        width, height, values = canvas.evaluate(
            "c => [c.width, c.height, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
        )
        return np.array(values, dtype=np.uint8).reshape(height, width, 4)[:, :, :3]


@pytest.fixture
def opened(browser, file):
    yield (one := Opened(browser, file))
    one.page.context.close()
    assert one.faults == []


@pytest.fixture
def opened_at(browser, file):
    pages = []

    def open_it(hash="", path=file, **settings):
        pages.append(Opened(browser, path, hash, **settings))
        return pages[-1]

    yield open_it
    for one in pages:
        one.page.context.close()
        assert one.faults == []


@in_browser
def test_page_opens_from_disk_without_requests(opened, file):
    opened.page.wait_for_load_state("load")
    outside = [url for url in opened.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [f"file://{file}"]
    assert opened.page.inner_text("h1") == "small"
    # Plotly's offer to send the data away is not among the buttons.
    buttons = opened.page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title).join()")
    assert "Box Select" in buttons and "Share" not in buttons


@in_browser
def test_opening_benchmark_reports_times_of_units_and_plot(file):
    command = [sys.executable, "benchmarks/opening.py", str(file), "--times", "1"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    shown = {
        name: float(median) for name, median in re.findall(r"^(\w+) shown: median ([0-9.]+),", output, re.MULTILINE)
    }
    assert 0 < shown["units"] < shown["plot"]


@in_browser
def test_tables_and_units_do_not_wait_for_plotly(browser, tmp_path, experiment):
    data, sheets, _ = experiment
    path = tmp_path / "atlas.html"
    path.write_text(atlas_page.page(data, sheets, "throw new Error('not read yet');"), encoding="utf-8")
    page = browser.new_page()
    try:
        page.goto(f"file://{path}")
        first = page.locator("#table tbody tr td:first-child a").first
        name = first.inner_text()
        first.click()
        page.wait_for_function("unit => document.getElementById('unit-title').textContent === unit", arg=name)
        assert page.locator("#scatter .points path").count() == 0
    finally:
        page.close()


@in_browser
def test_large_atlas_opens_with_the_first_layer(browser, tmp_path):
    data, sheets, _ = whole({"conv.1": 12, "hidden": 2000}, constant=(), methods=by_hand.METHODS[:1])
    page = Opened(browser, write(tmp_path / "atlas.html", data, sheets))
    try:
        assert page.address() == "#conv.1"
        assert page.page.inner_text("#counted") == "12 of 12 units"
        page.page.select_option("#layer", "-1")
        page.page.wait_for_function("() => document.getElementById('counted').textContent === '2012 of 2012 units'")
        assert page.address() == ""
        page.page.go_back()
        page.page.wait_for_function("() => document.getElementById('counted').textContent === '12 of 12 units'")
        assert page.faults == []
    finally:
        page.page.context.close()


@in_browser
def test_content_security_policy_blocks_requests(opened):
    # Were there a way, the page's own rule would shut it.
    opened.page.evaluate("fetch('https://example.org').catch((error) => (window.refused = String(error)))")
    opened.page.wait_for_function("() => window.refused")
    opened.page.evaluate("document.body.append(Object.assign(new Image(), { src: 'https://example.org/x.png' }))")
    opened.page.wait_for_timeout(100)
    for beginning in ("Connecting to 'https://example.org", "Loading the image 'https://example.org"):
        assert [fault for fault in opened.faults if fault.startswith(beginning) and "Content Security Policy" in fault]
    opened.faults.clear()


@in_browser
def test_layer_selection(opened, experiment):
    data = experiment[0]
    assert opened.points() == sum(
        data["units"]["scores"]["selectivity"][row] is not None and data["units"]["scores"]["rs_iam"][row] is not None
        for row in range(72)
    )
    assert "never over all" in opened.page.inner_text("#correlation")
    opened.page.select_option("#layer", label="conv.1 (12 units, 1 dead)")
    assert opened.points() == 10
    assert opened.page.inner_text("#not-drawn").startswith("2 of 12 units are not drawn")
    assert "1 dead, 1 silent" in opened.page.inner_text("#not-drawn")
    (correlation,) = plain_pair(data, "conv.1", "selectivity", "rs_iam")
    shown = opened.page.inner_text("#correlation .figure").replace("\N{MINUS SIGN}", "-")
    assert float(shown) == pytest.approx(correlation["spearman"], abs=0.006)
    assert f"n\n{correlation['n']}" in opened.page.inner_text("#correlation")
    assert opened.address() == "#conv.1"
    opened.page.select_option("#layer", label="hidden (60 units, 1 dead)")
    assert opened.page.inner_text("#correlation .figure") == "undefined"
    assert "RS, IAM is 0 for all" in opened.page.inner_text("#correlation")
    opened.page.select_option("#y", "ties_am")
    assert "was not correlated" in opened.page.inner_text("#correlation")


@in_browser
def test_curves_follow_the_selected_layer(opened):
    page = opened.page
    drawn = "document.getElementById('cumulative').data.map((trace) => trace.name ?? '')"
    assert page.evaluate(drawn) == ["", "", "random orders", "ascending", "descending"]
    assert page.locator("#cumulative-layer option").all_inner_texts() == ["all layers together", *LAYERS]
    page.select_option("#layer", label="hidden (60 units, 1 dead)")
    assert page.input_value("#cumulative-layer") == "hidden"
    page.select_option("#cumulative-score", "RS, AM")
    # It was ordered in one direction only.
    assert page.evaluate(drawn) == ["", "", "random orders", "ascending"]
    page.locator("#cumulative-table").evaluate("table => table.closest('details').open = true")
    rows = page.locator("#cumulative-table tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["RS, AM, ascending", "1", "0.7", "0.1"],
        ["random orders, mean", "1", "0.7", "0.1"],
    ]
    page.select_option("#cumulative-layer", "all layers together")
    assert page.evaluate("document.getElementById('cumulative').data[2].y") == [100, 70, 10]


@in_browser
def test_unit_panel_does_not_overlap_the_depth_section(opened_at):
    page = opened_at("#hidden/7").page
    assert page.locator("#unit").bounding_box()["y"] > 0
    # With a jump: a smooth one is still under way when it is looked at.
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.evaluate("document.getElementById('depth-section').scrollIntoView()")
    panel, section = (page.locator(name).bounding_box() for name in ("#unit", "#depth-section"))
    assert panel["y"] + panel["height"] <= section["y"]


@in_browser
def test_rank_scale(opened, experiment):
    opened.page.select_option("#layer", label="conv.1 (12 units, 1 dead)")
    opened.page.select_option("#x-scale", "rank")
    across = opened.page.evaluate("document.getElementById('scatter').data.flatMap((trace) => trace.x)")
    assert sorted(across) == list(range(1, 11))


@in_browser
def test_clicked_point_opens_its_unit(opened):
    opened.page.select_option("#layer", label="conv.1 (12 units, 1 dead)")
    row = opened.page.evaluate("document.getElementById('scatter').data[0].customdata[0]")
    opened.page.locator("#scatter .trace .points path").first.click(force=True)
    opened.goes_to(f"conv.1 / {row}")
    assert opened.address() == f"#conv.1/{row}"
    assert f"Unit conv.1 / {row}" in opened.page.inner_text("#announced")
    assert opened.page.locator("#table tr.chosen a[aria-current=true]").inner_text() == f"conv.1 / {row}"
    # The ring in the plot.
    assert opened.page.evaluate("document.getElementById('scatter').data.at(-1).x.length") == 1


@in_browser
def test_substitute_link_and_browser_history(opened_at):
    opened = opened_at("#conv.1/5")
    assert opened.title() == "conv.1 / 5"
    cards = opened.page.locator(".cards").first.locator("a")
    assert [text.split("\n")[0].replace("\xa0", " ") for text in cards.all_inner_texts()] == ["Unit 2", "Unit 1"]
    cards.first.click()
    opened.goes_to("conv.1 / 2")
    # The card is gone: the keyboard goes on at the unit.
    assert opened.page.evaluate("document.activeElement.id") == "unit-title"
    opened.page.go_back()
    opened.goes_to("conv.1 / 5")
    opened.page.go_forward()
    opened.goes_to("conv.1 / 2")


@in_browser
def test_link_opens_the_unit_with_its_images(opened_at, experiment):
    data, _, images = experiment
    opened = opened_at("#hidden/41")
    assert opened.title() == "hidden / 41"
    for place, (method, seed) in enumerate([("am", 0), ("am", 1), ("iam", 0), ("iam", 1)]):
        shown = opened.pixels(f"canvas[aria-label*='by {method.upper()}, seed {seed}']")
        np.testing.assert_array_equal(shown, images["hidden", method][seed, 41], err_msg=str(place))
    first = data["layers"][1]["exemplars"]["images"][41][0]
    brightness = 4 * data["natural"]["rows"][first] + 30
    assert np.abs(opened.pixels(".natural canvas").astype(int) - brightness).max() <= 3
    means = data["layers"][1]["classMeans"]["means"][41]
    assert opened.page.locator(".means li").count() == 10
    assert float(opened.page.locator(".means li").nth(4).locator("span").last.inner_text()) == pytest.approx(
        means[4], abs=0.006
    )
    assert opened.page.locator(".natural canvas").count() == 9
    opened.page.evaluate("location.hash = '#hidden/400'")
    opened.page.wait_for_function("() => document.getElementById('search-said').textContent !== ''")
    assert "There is no unit hidden/400" in opened.page.inner_text("#search-said")


@in_browser
def test_dead_and_silent_units_are_labelled(opened_at):
    dead = opened_at("#conv.1/11")
    assert "dead" in dead.page.inner_text("#unit-body")
    assert "no test image excites it" in dead.page.inner_text("#unit-body")
    silent = opened_at("#conv.1/0")
    assert "Silent: it does not answer its own image" in silent.page.inner_text("#unit-body")
    assert "undefined" in silent.page.inner_text(".made .scores >> nth=0")


@in_browser
def test_search(opened):
    for text, unit in (
        ("7", "conv.1 / 7"),
        ("hidden/33", "hidden / 33"),
        ("12", "hidden / 12"),
        ("conv.1 3", "conv.1 / 3"),
    ):
        opened.page.fill("#search-text", text)
        opened.page.press("#search-text", "Enter")
        opened.goes_to(unit)
    for text, words in (("99", "has units 0 to 11"), ("pool/3", "There is no layer pool"), ("", "has units")):
        opened.page.fill("#search-text", text)
        opened.page.press("#search-text", "Enter")
        assert words in opened.page.inner_text("#search-said")
    assert opened.title() == "conv.1 / 3"


def numbers(texts):
    return [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]


@in_browser
def test_undefined_values_sort_last(opened):
    opened.page.select_option("#layer", label="conv.1 (12 units, 1 dead)")
    head = opened.page.locator("#table th", has_text="class selectivity")
    assert head.get_attribute("aria-sort") == "none"
    for order, descending in (("descending", True), ("ascending", False)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        values = opened.column("class selectivity")
        assert values[-1] == "undefined" and "undefined" not in values[:-1]
        assert numbers(values[:-1]) == sorted(numbers(values[:-1]), reverse=descending)
    # The button that was pressed is pressed again without looking for it.
    assert opened.page.evaluate("document.activeElement.dataset.sort") == "selectivity"


@in_browser
def test_filtering(opened):
    page = opened.page
    page.select_option("#state", "dead")
    assert opened.units() == ["conv.1 / 11", "hidden / 59"]
    page.select_option("#state", "silent")
    assert opened.units() == ["conv.1 / 0", "conv.1 / 11", "hidden / 0", "hidden / 59"]
    page.click("#filters button[type=reset]")
    page.wait_for_function("() => document.getElementById('counted').textContent === '72 of 72 units'")
    page.select_option("#range-score", "selectivity")
    page.fill("#low", "0.5")
    page.fill("#high", "0,75")
    values = numbers(opened.column("class selectivity"))
    assert values and all(0.5 <= value <= 0.75 for value in values)
    assert opened.points() <= len(values)
    page.click("#filters button[type=reset]")
    page.select_option("#top", label="4")
    assert set(opened.column("top class")) == {"4"}
    count = len(opened.page.locator("#table th").all())
    page.check("#every-score")
    assert len(opened.page.locator("#table th").all()) > count


@in_browser
def test_table_pagination(opened):
    assert (len(opened.units()), opened.page.inner_text("#page-now")) == (40, "Page 1 of 2")
    assert opened.page.is_disabled("#page-back")
    opened.page.click("#page-on")
    assert (len(opened.units()), opened.page.inner_text("#page-now")) == (32, "Page 2 of 2")
    assert opened.page.is_disabled("#page-on")


@in_browser
def test_plot_selection_filters_the_table(opened):
    box = opened.page.locator("#scatter .nsewdrag").bounding_box()
    mouse = opened.page.mouse
    mouse.move(box["x"] + 2, box["y"] + 2)
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 2, steps=5)
    mouse.up()
    opened.page.wait_for_function(
        "() => document.getElementById('counted').textContent.includes('selected in the plot')"
    )
    values = opened.column("class selectivity")
    middle = opened.page.evaluate(
        "document.getElementById('scatter').layout.xaxis.range.reduce((low, high) => (low + high) / 2)"
    )
    assert 0 < len(values) < 60
    assert max(numbers(values)) <= middle + 0.01
    opened.page.click("#clear-brush")
    assert opened.page.inner_text("#counted") == "72 of 72 units"
    assert opened.page.is_hidden("#clear-brush")


@in_browser
def test_keyboard_shortcuts(opened):
    page = opened.page
    page.locator("#table th button", has_text="unit").click()
    page.keyboard.press("j")
    opened.goes_to("hidden / 59")
    for key, unit in (
        ("ArrowRight", "hidden / 58"),
        ("j", "hidden / 57"),
        ("k", "hidden / 58"),
        ("ArrowLeft", "hidden / 59"),
    ):
        page.keyboard.press(key)
        opened.goes_to(unit)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search-text"
    # In a field, a letter is a letter.
    page.keyboard.type("j")
    assert page.input_value("#search-text") == "j" and opened.title() == "hidden / 59"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") != "search-text"
    page.keyboard.press("Escape")
    opened.goes_to("No unit chosen")
    page.uncheck("#keys")
    page.keyboard.press("j")
    page.wait_for_timeout(100)
    assert opened.title() == "No unit chosen"
    page.check("#keys")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@in_browser
def test_the_keys_turn_the_pages_of_the_table(opened_at):
    opened = opened_at("#hidden/27")
    opened.page.keyboard.press("j")
    opened.goes_to("hidden / 28")
    assert opened.page.inner_text("#page-now") == "Page 2 of 2"
    assert opened.page.locator("#table tr.chosen").count() == 1


@in_browser
def test_phone_layout(opened_at):
    opened = opened_at("#conv.1/5", viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    # The unit of the link stands below the plot: there the page goes.
    opened.page.wait_for_function("() => Math.abs(document.getElementById('unit').getBoundingClientRect().top) < 60")
    for action in (lambda: None, lambda: opened.page.check("#every-score")):
        action()
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    sides = opened.page.evaluate(
        """[...document.querySelectorAll('button, select, input, #table td a, .cards a, summary')]
        .filter((one) => one.offsetParent !== null)
        .map((one) => (one.closest('label') ?? one).getBoundingClientRect())
        .map((box) => Math.min(box.width, box.height))"""
    )
    assert min(sides) >= 24


@in_browser
@pytest.mark.parametrize("width", [390, 1320])
def test_four_digit_unit_names_fit_on_one_line(opened_at, width):
    opened = opened_at("#conv.1/5", viewport={"width": width, "height": 900})
    overhang, lines = opened.page.evaluate(
        """[...document.querySelectorAll('.cards a b')].map((name) => {
          name.textContent = 'Unit\u00a02048';
          const range = document.createRange();
          range.selectNodeContents(name);
          return [name.scrollWidth - name.clientWidth, range.getClientRects().length];
        }).reduce((most, one) => most.map((value, place) => Math.max(value, one[place])), [-1, 0])"""
    )
    assert (overhang, lines) == (0, 1)


@in_browser
def test_words_in_the_claims_table_do_not_break(opened):
    opened.page.locator(".claim summary").first.click()
    lines = opened.page.evaluate(
        """[...document.querySelectorAll('.claim th, .claim td')].map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return [cell.textContent, range.getClientRects().length];
        })"""
    )
    words = {text: count for text, count in lines if text.isalpha()}
    assert {"method", "holds", "hidden"} <= words.keys()
    assert set(words.values()) == {1}, words


@in_browser
@pytest.mark.parametrize("width", [390, 1320])
def test_correlations_do_not_break_next_to_long_layer_names(opened_at, tmp_path, width):
    file = atlas_file(tmp_path, layers={"conv.1": 12, "blocks.3.1.se.conv_reduce_of_a_long_name": 60})
    page = opened_at("#", path=file, viewport={"width": width, "height": 900}).page
    lines = page.evaluate(
        """[...document.querySelectorAll('.correlation dd')].map((value) => {
          const range = document.createRange();
          range.selectNodeContents(value);
          return [value.textContent, range.getClientRects().length];
        })"""
    )
    assert len(lines) == 2
    assert {count for text, count in lines if " " not in text} == {1}, lines


@in_browser
def test_class_names_do_not_break(opened_at, tmp_path):
    file = atlas_file(tmp_path, classes=["automobile"] * 9 + ["x" * 60])
    page = opened_at("#hidden/7", path=file).page
    cells = page.evaluate(
        """[...document.querySelectorAll('#table td:nth-child(3)')].map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return [cell.textContent, range.getClientRects().length, cell.clientWidth];
        })"""
    )
    assert {lines for text, lines, _ in cells if text == "automobile"} == {1}
    # A name that cannot stay whole makes the table no wider than it has to be.
    assert max(width for *_, width in cells) < 250
    captions = [text.split("\n") for text in page.locator(".natural figcaption").all_inner_texts()]
    assert all(len(lines) == 2 and lines[0] in ("automobile", "x" * 60) for lines in captions)
    assert all(float(lines[1]) >= 0 for lines in captions)


@in_browser
def test_images_have_an_edge_against_the_background(opened_at):
    for scheme, values in schemes().items():
        page = opened_at("#conv.1/5", color_scheme=scheme).page
        shadows = page.evaluate(
            "[...document.querySelectorAll('canvas')].map((one) => getComputedStyle(one).boxShadow)"
        )
        edge = ", ".join(str(int(values["edge"][place : place + 2], 16)) for place in (1, 3, 5))
        assert set(shadows) == {f"rgb({edge}) 0px 0px 0px 1px"}


@in_browser
def test_regions_have_unique_names(opened):
    names = opened.page.evaluate(
        """[...document.querySelectorAll('section, aside, nav, [role=region], [role=search], form[aria-label]')].map(
          (one) => one.ariaLabel ?? document.getElementById(one.getAttribute('aria-labelledby'))?.innerText
        )"""
    )
    assert len(names) == len(set(names)) > 8


@in_browser
def test_color_schemes(opened_at):
    colors = {
        scheme: opened_at("#conv.1/5", color_scheme=scheme).page.evaluate(
            """[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
            getComputedStyle(document.querySelector('#scatter .xtick text')).fill]"""
        )
        for scheme in ("light", "dark")
    }
    light, dark = (schemes()[scheme] for scheme in ("light", "dark"))
    for scheme, values in (("light", light), ("dark", dark)):
        expected = [
            tuple(int(values[name][place : place + 2], 16) for place in (1, 3, 5)) for name in ("paper", "ink", "ink")
        ]
        assert [tuple(map(int, re.findall(r"\d+", color)[:3])) for color in colors[scheme]] == expected


@in_browser
def test_hostile_names_are_escaped(opened_at, experiment):
    data = experiment[0]
    opened = opened_at("#conv.1/5")
    assert opened.page.locator(".means li span").nth(9).inner_text() == HOSTILE
    assert HOSTILE in opened.page.locator("#top option").all_inner_texts()
    row = data["units"]["top"].index(3)
    layer, unit = ("conv.1", row) if row < 12 else ("hidden", row - 12)
    opened.page.evaluate(f"location.hash = '#{layer}/{unit}'")
    opened.goes_to(f"{layer} / {unit}")
    assert HOSTILE in opened.page.inner_text("#announced")
    # In the plot: its legend, and what a point says.
    assert any(text.endswith(f" {HOSTILE}") for text in opened.page.locator("#legend li").all_inner_texts())
    opened.page.evaluate(
        """(row) => { const plot = document.getElementById('scatter');
        const curve = plot.data.findIndex((trace) => trace.customdata?.includes(row));
        Plotly.Fx.hover(plot, [{ curveNumber: curve, pointNumber: plot.data[curve].customdata.indexOf(row) }]); }""",
        next(row for row, top in enumerate(data["units"]["top"]) if top == 3 and row not in (0, 12)),
    )
    assert HOSTILE in opened.page.evaluate("document.querySelector('#scatter .hoverlayer').textContent")
    assert opened.page.locator("summary", has_text="C1").inner_text().startswith("C1 " + HOSTILE)
    assert opened.page.evaluate("document.querySelectorAll('img').length") == 0
    assert "owned" not in opened.page.title()


@in_browser
def test_undefined_values_in_the_depth_chart_are_not_drawn_as_zero(opened):
    drawn = opened.page.evaluate("document.getElementById('depth').data.map((trace) => [trace.customdata, trace.y])")
    # AM: the first layer is defined, the second stands in the band below the scale.
    assert drawn[0][0] == [0] and drawn[1] == [[1], [-1.16]]
    opened.page.click("summary:has-text('As a table')")
    assert "undefined" in opened.page.inner_text("#depth-table")


def atlas_file(tmp_path, **options):
    data, sheets, _ = whole(**options)
    return write(tmp_path / "atlas.html", data, sheets)


@in_browser
def test_text_for_units_without_substitutes_depends_on_rs(opened_at, tmp_path):
    data, sheets, _ = whole()
    layer = next(number for number, one in enumerate(data["layers"]) if one["name"] == "hidden")
    first = data["units"]["layer"].index(layer)
    for unit, rs in ((3, 0.0), (4, 0.125)):
        data["units"]["scores"]["rs_iam"][first + unit] = rs
        for method in data["layers"][layer]["methods"].values():
            method["substitutes"][method["units"].index(unit)] = []
            method["strength"][method["units"].index(unit)] = []
    path = write(tmp_path / "atlas.html", data, sheets)
    texts = [opened_at(f"#hidden/{unit}", path=path).page.inner_text("#unit-body") for unit in (3, 4)]
    assert "no other unit answers this image more strongly" in texts[0]
    assert "in more than half of the seeds" in texts[1]


@in_browser
def test_without_a_data_set(opened_at, tmp_path):
    opened = opened_at("#hidden/3", path=atlas_file(tmp_path, data=False))
    assert "There is no data set" in opened.page.inner_text("header")
    body = opened.page.inner_text("#unit-body")
    assert "RS" in body and "Test images" not in body and "Mean activation" not in body
    assert opened.page.is_hidden("#top")


@in_browser
def test_without_classes(opened_at, tmp_path):
    opened = opened_at("#hidden/3", path=atlas_file(tmp_path, classes=[]))
    assert "have no classes" in opened.page.inner_text("header")
    assert "class selectivity" not in opened.page.locator("#x option").all_inner_texts()
    assert opened.page.locator(".natural canvas").count() == 9
    # There is nothing that selectivity could be correlated with, and two scores are put against each other.
    assert opened.page.is_hidden("#depth-section")
    assert "no ablation" in opened.page.inner_text("header")


@in_browser
@pytest.mark.parametrize("classes", [CLASSES, []])
def test_plot_follows_the_system_color_scheme(opened_at, tmp_path, classes):
    page = opened_at(path=atlas_file(tmp_path, classes=classes), color_scheme="light").page
    page.emulate_media(color_scheme="dark")
    ink = ", ".join(str(int(schemes()["dark"]["ink"][place : place + 2], 16)) for place in (1, 3, 5))
    page.wait_for_function(
        "ink => getComputedStyle(document.querySelector('#scatter .xtick text')).fill === `rgb(${ink})`", arg=ink
    )


@in_browser
def test_default_axes_are_two_different_scores(opened_at, tmp_path):
    page = opened_at(path=atlas_file(tmp_path, classes=[], methods=["iam"])).page
    assert (page.input_value("#x"), page.input_value("#y")) == ("rs_iam", "activation_mean")
    page = opened_at(path=atlas_file(tmp_path, data=False, methods=["iam"])).page
    assert page.input_value("#x") == "rs_iam" != page.input_value("#y")


@in_browser
def test_units_that_are_not_targets_have_no_image(opened_at, tmp_path):
    opened = opened_at("#hidden/9", path=atlas_file(tmp_path, targets=[3, 5, 9], constant=()))
    assert opened.page.locator(".made canvas").count() == 4
    assert opened.page.locator(".cards .blank").first.inner_text() == "no image"
    opened.page.locator(".cards a").first.click()
    opened.goes_to("hidden / 2")
    assert "not among the targets" in opened.page.inner_text("#unit-body")


@in_browser
def test_page_of_a_real_run(opened_at, finished):
    folder = finished.folder / "results/small"
    with h5py.File(finished.folder / "data/datasets/digits.h5") as file:
        images, labels = file["images"][:], file["labels"][:]
    with h5py.File(folder / "exemplars.h5") as file:
        rows = file["layers/hidden1/images"][:, 0]
    unit = int(np.flatnonzero(rows >= 0)[-1])
    row = rows[unit]
    with h5py.File(folder / "images/hidden1.iam.h5") as file:
        image = file["images"][0, unit]
    opened = opened_at(f"#hidden1/{unit}", path=folder / "atlas.html")
    assert (opened.pixels("canvas[aria-label*='by IAM']") == image).all()
    assert opened.page.locator(".natural figcaption").first.inner_text().startswith(f"{labels[row]}\n")
    # Lossy, but the same image.
    assert np.abs(opened.pixels(".natural canvas").astype(float) - images[row]).mean() < 8
    assert opened.page.locator("#table tbody tr").count() == 12


@in_browser
def test_single_layer(opened_at, tmp_path):
    opened = opened_at(path=atlas_file(tmp_path, layers={"hidden": 12}, constant=(), methods=["am"]))
    assert opened.page.locator("#layer option").count() == 1
    opened.page.fill("#search-text", "3")
    opened.page.press("#search-text", "Enter")
    opened.goes_to("hidden / 3")
    opened.page.keyboard.press("Escape")
    opened.page.click("#unit-close")
    opened.goes_to("No unit chosen")
