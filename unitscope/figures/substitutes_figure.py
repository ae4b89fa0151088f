"""The figure of a unit beside its substitutes (as Chen et al. 2018, Fig. 2)."""

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unitscope.figures.drawing import relative_box, styled, wrapped
from unitscope.figures.style import Style
from unitscope.figures.unit_images import UnitImages, layer_and_method
from unitscope.scores.score_names import RS_NAMES, RS_SCORES, method_name
from unitscope.storage.hdf5 import open_hdf5
from unitscope.tables.number_text import small_share
from unitscope.tables.table_access import Table, methods_of, rows_of


def shown(units: Table, paths: Iterable[Path]) -> list[Path]:
    """Return the artifacts of images that `substitutes` needs, those of one layer and method: all may be too many."""
    files: dict[tuple[str, str], list[Path]] = {}
    targets: dict[tuple[str, str], np.ndarray] = {}
    for path in paths:
        with open_hdf5(path) as handle:
            key = layer_and_method(handle)
            files.setdefault(key, []).append(path)
            targets[key] = np.concatenate([targets.get(key, np.empty(0, int)), handle["units"][:]])
    example = _example(units, targets)
    return files[example[:2]] if example else []


@styled
def substitutes(style: Style, units: Table, images: Mapping[tuple[str, str], UnitImages]) -> Figure:
    """Draw the most selective unit that has two substitutes, its image beside theirs (as Chen et al. 2018, Fig. 2).

    Args:
        style: How it looks.
        units: Table of units.
        images: The images of each layer and method. The method "iam" is preferred, then the others in the order of the
            table; a figure without any such unit says so.
    """
    example = _example(units, {key: drawn.units for key, drawn in images.items()})
    if example is None:
        figure = Figure(figsize=(style.width, 0.8))
        figure.text(0.5, 0.5, "No unit of this experiment is exceeded by two others on its own image.", ha="center")
        return figure
    layer, method, unit, others = example
    layer_units, unit_images = rows_of(units, layer), images[layer, method]
    relative = unit_images.relative_responses()[np.flatnonzero(unit_images.units == unit)[0]]
    room = style.width / 3
    side, fit = min(1.9, room - 0.25), int((room - 0.1) * 72 / (0.56 * style.small))
    above = [f"unit {unit} of {layer}\n{_scores_text(layer_units, unit, method, fit)}"]
    above += [f"substitute: unit {other}\n{_scores_text(layer_units, other, method, fit)}" for other in others]
    below = ["its own image"]
    below += [
        wrapped(f"answers unit {unit}'s image {relative[other]:.3g}×\u00a0as\u00a0strongly", fit) for other in others
    ]
    line_height = 1.3 * style.small / 72
    bottom = line_height * (1 + max(text.count("\n") for text in below)) + 0.12
    head = line_height * (1 + max(text.count("\n") for text in above)) + 0.1
    total = bottom + side + head + 1.6 * style.font_size / 72
    figure = Figure(figsize=(style.width, total))
    title = f"Most selective unit with two substitutes under {method_name(method)}"
    figure.text(0.5, 1 - 0.04 / total, title, ha="center", va="top", weight="bold")
    for place, number in enumerate((unit, *others)):
        middle = (place + 0.5) * room
        axes = figure.add_axes(relative_box((middle - side / 2, bottom, side, side), style.width, total))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, linewidth=1.4 if place == 0 else 0.6)
        picture = unit_images.of(number)
        if picture is None:
            axes.text(0.5, 0.5, "no image: not\na target unit", ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(picture, interpolation="none")
        words: dict[str, Any] = {"ha": "center", "size": style.small, "linespacing": 1.2}
        figure.text(middle / style.width, (bottom + side + 0.06) / total, above[place], va="bottom", **words)
        figure.text(middle / style.width, (bottom - 0.05) / total, below[place], va="top", **words)
    return figure


def _example(units: Table, targets: Mapping[tuple[str, str], np.ndarray]) -> tuple[str, str, int, list[int]] | None:
    """Return layer, method, unit and two substitutes of the unit that `substitutes` draws.

    Args:
        units: Table of units.
        targets: The units that have an image, of each layer and method.
    """
    methods = sorted(methods_of(units), key=lambda method: method != "iam")
    return next(filter(None, (_with_substitutes(units, targets, method) for method in methods)), None)


def _with_substitutes(
    units: Table, targets: Mapping[tuple[str, str], np.ndarray], method: str
) -> tuple[str, str, int, list[int]] | None:
    """Return layer, method, unit and two substitutes of the most selective unit that has them."""
    several = np.array([len(text.split()) >= 2 for text in units[f"substitutes_{method}"]], dtype=bool)
    has_images = np.array([(layer, method) in targets for layer in units["layer"].tolist()], dtype=bool)
    rows = np.flatnonzero(several & has_images & ~units["dead"]).tolist()
    if not rows:
        return None

    def two(row: int) -> list[int]:
        """Return two substitutes, those with images first: of sampled targets not every substitute has one."""
        substitute_units = [int(number) for number in units[f"substitutes_{method}"][row].split()]
        return sorted(substitute_units, key=lambda number: number not in targets[units["layer"][row], method])[:2]

    with_images = [row for row in rows if np.isin(two(row), targets[units["layer"][row], method]).all()]
    row = max(with_images or rows, key=lambda row: np.nan_to_num(units["selectivity"][row], nan=-1.0))
    return str(units["layer"][row]), method, int(units["unit"][row]), two(row)


def _scores_text(layer_units: Table, unit: int, method: str, fit: int) -> str:
    selectivity = layer_units["selectivity"][unit]
    top = (
        f" (class {textwrap.shorten(layer_units['top_class'][unit], 16, placeholder='…')})"
        if layer_units["top_class"][unit]
        else ""
    )
    first = f"selectivity {selectivity:.2f}{top}" if np.isfinite(selectivity) else "no selectivity"
    scores = [
        rs_text(layer_units[f"{score}_{method}"][unit], RS_NAMES[score])
        for score in RS_SCORES
        if np.isfinite(layer_units[f"{score}_{method}"][unit])
    ]
    return wrapped(f"{first}, {', '.join(scores) or 'no RS'}", fit)


def rs_text(value: float, name: str = "RS") -> str:
    """Return RS with the decimals that tell a small one from none; it is not broken."""
    return f"{name} {small_share(value)}".replace(" ", "\u00a0")
