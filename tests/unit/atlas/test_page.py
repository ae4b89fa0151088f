"""The page of the atlas as a file: it loads nothing, runs only its own scripts, and escapes every name."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from atlas_by_hand import CLAIMS, HOSTILE, whole

from unitscope.atlas.page import json_text, page, script_text

PLOTLY = "var Plotly = {};\r\n"


class Reader(HTMLParser):
    """Reads the elements of a page, the text of each script, and the visible text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.sources, self.visible, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = tag
            self.sources.append((tag, dict(attrs).get("id", ""), []))

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = None

    def handle_data(self, data):
        (self.sources[-1][2] if self.inside else self.visible).append(data)

    def script(self, name=""):
        """Return the text of the script with an id; without one, of the page's own."""
        (source,) = ("".join(text) for tag, identifier, text in self.sources if (tag, identifier) == ("script", name))
        return source

    @property
    def policy(self):
        """Return the page's policy for content, by what it is about."""
        (policy,) = (
            attributes["content"]
            for _, attributes in self.elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        return {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}

    @property
    def text(self):
        return " ".join("".join(self.visible).split())


@pytest.fixture(scope="module")
def experiment():
    atlas, sheets, _ = whole({"conv.1": 5, "hidden": 6})
    return atlas, sheets


@pytest.fixture(scope="module")
def written(experiment):
    return page(*experiment, PLOTLY, CLAIMS)


def test_the_page_is_titled_and_counts_layers_and_units(experiment, written):
    atlas, _ = experiment
    text = Reader(written).text
    assert f"<title>Atlas of {atlas['experiment']}</title>" in written
    assert "11 units in 2 layers · AM, IAM" in text and f"Network {atlas['network']}" in text


def test_what_is_shown_is_read_back_from_the_page(experiment, written):
    atlas, sheets = experiment
    reader = Reader(written)
    assert json.loads(reader.script("data")) == json.loads(json.dumps(atlas))
    assert reader.script("plotly") == PLOTLY.replace("\r\n", "\n")
    for number, sheet in enumerate(sheets):
        assert base64.b64decode(reader.script(f"sheet-{number}")) == sheet
    assert f'id="sheet-{len(sheets)}"' not in written


def test_the_page_loads_nothing(written):
    reader = Reader(written)
    for tag, attributes in reader.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert "src" not in attributes and attributes.get("href", "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert reader.policy["default-src"] == reader.policy["base-uri"] == ["'none'"]
    assert reader.policy["img-src"] == ["data:", "blob:"]


def test_the_policy_allows_the_scripts_of_the_page_alone(written):
    reader = Reader(written)
    sources = [reader.script(), reader.script("plotly")]
    digests = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in sources]
    assert sorted(reader.policy["script-src"]) == sorted(f"'sha256-{digest}'" for digest in digests)


def test_names_are_text_wherever_they_are(written):
    assert HOSTILE not in written
    reader = Reader(written)
    assert not {"b", "img"} & {tag for tag, _ in reader.elements}
    # The text of a claim, and a class in the data.
    assert " ".join(HOSTILE.split()) in reader.text
    assert HOSTILE in json.loads(reader.script("data"))["classes"]


def test_claims_are_shown_with_their_verdicts_and_rows(experiment, written):
    text = Reader(written).text
    assert "supported: RS" in text and "0.10 to 0.20 (95 %)" in text
    assert text.count("a statistic of many words") == 5
    without = Reader(page(*experiment, PLOTLY))
    assert "claims-title" not in {attributes.get("id") for _, attributes in without.elements}


def test_sections_without_content_are_left_out(experiment):
    atlas, sheets = experiment
    ids = {attributes.get("id") for _, attributes in Reader(page({**atlas, "cumulative": []}, sheets, PLOTLY)).elements}
    assert "cumulative" not in ids and {"scatter", "table", "depth"} <= ids
    assert "cumulative" in {attributes.get("id") for _, attributes in Reader(page(atlas, sheets, PLOTLY)).elements}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hasImages": False, "classes": []}, "There is no data set"),
        ({"classes": []}, "The images have no classes"),
        ({"missing": ["RS (q), AM", "ties, <b>"]}, "RS (q), AM; ties, <b>."),
        ({"methods": []}, "no method"),
        ({"layers": [{}]}, "11 units in 1 layer ·"),
    ],
)
def test_the_head_of_the_page_names_what_is_missing(experiment, changes, text):
    atlas, sheets = experiment
    assert text not in Reader(page(atlas | {"missing": []}, sheets, PLOTLY)).text
    assert text in Reader(page(atlas | {"missing": []} | changes, sheets, PLOTLY)).text


def test_an_incomplete_content_is_an_error(experiment):
    atlas, sheets = experiment
    with pytest.raises(Exception, match="'dict object' has no attribute 'network'"):
        page({name: value for name, value in atlas.items() if name != "network"}, sheets, PLOTLY)


# --- texts in script elements ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["a </script> b", "a </SCRIPT", "a <!-- b"])
def test_a_script_must_not_end_its_element(source):
    with pytest.raises(ValueError, match="'</script' or '<!--'"):
        script_text(source)


def test_line_ends_of_a_script_are_those_that_a_browser_reads():
    assert script_text("a\r\nb\rc\n") == "a\nb\nc\n"


def test_json_in_a_page_reads_back_without_markup():
    value = {"name": "</script><!-- & \u2028\u2029 é", "numbers": [1, 0.5, None]}
    text = json_text(value)
    assert json.loads(text) == value and not re.search("[<>&\u2028\u2029]", text) and "é" in text


def test_numbers_that_json_lacks_are_refused():
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_text([value])
