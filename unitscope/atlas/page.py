"""The page of the atlas: a single file that needs neither a server nor a network.

What it shows is handed to it as JSON, images as sheets. How it looks and behaves is in the files in
`unitscope/atlas/web`.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2

SCRIPTS = ("data.js", "pictures.js", "charts.js", "table.js", "unit.js", "main.js")
"""The page's own scripts, in the order in which they stand in it."""


def page(
    content: Mapping[str, Any], album: Sequence[bytes], plotly: str, claims: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Return the page.

    Args:
        content: What `content` returns.
        album: The sheets.
        plotly: The source of Plotly's library.
        claims: Claims of the paper that the experiment answers to, as `claim_groups` returns them.
    """
    folder = resources.files("unitscope.atlas") / "web"
    page_script = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = {name: script_text(source) for name, source in {"page_script": page_script, "plotly": plotly}.items()}
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        content=content,
        claims=claims,
        style=(folder / "atlas.css").read_text(encoding="utf-8"),
        **scripts,
        hashes=" ".join(f"'sha256-{_sha256(source)}'" for source in scripts.values()),
        data=json_text(content),
        sheets=[base64.b64encode(sheet).decode() for sheet in album],
    )


def script_text(source: str) -> str:
    """Return a source as it may stand in a script element, where line ends are line feeds, and nothing ends it early.

    Raises:
        ValueError: It would end the element, or open a comment that hides its end.
    """
    if "</script" in source.lower() or "<!--" in source:
        raise ValueError("a script of the page holds '</script' or '<!--'")
    return source.replace("\r\n", "\n").replace("\r", "\n")


def json_text(value: Any) -> str:
    """Return a value as JSON in which nothing can end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _sha256(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
