"""The texts of a figure: what they say, and whether they can be read."""

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from unitscope.figures.style import Style

STYLE = Style(dpi=60)
MANY = {f"features.{number}": 4 + 3 * number for number in range(13)}


def texts(figure):
    """Return the visible texts of a figure, with their boxes in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    visible = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    # Tick labels outside of the axes' limits, or switched off, are objects too, but nothing that is drawn.
    ticks = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in (*axis.get_majorticklabels(), *axis.get_minorticklabels())
    }
    shown = {
        label
        for axes in figure.axes
        if axes.axison
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis._update_ticks()
        for label in (tick.label1, tick.label2)
        if label.get_visible()
    }
    hidden = {
        text for axes in figure.axes if not axes.axison for text in axes.xaxis.findobj(Text) + axes.yaxis.findobj(Text)
    }
    return [(t, t.get_window_extent(renderer)) for t in visible if t not in hidden and (t not in ticks or t in shown)]


def assert_readable(figure):
    """Assert that no text is smaller than 7 points, cut off by the page, or over another."""
    page = figure.bbox
    text_boxes = texts(figure)
    assert text_boxes
    for text, box in text_boxes:
        assert text.get_fontsize() >= 7
        inside = box.x0 >= page.x0 - 1 and box.y0 >= page.y0 - 1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
        assert inside, f"cut off: {text.get_text()!r}"
    # The boxes of tilted texts overlap where the texts do not.
    level = [(text, box) for text, box in text_boxes if text.get_rotation() % 90 == 0]
    for (text, first), (other, second) in itertools.combinations(level, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        high = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(wide, high) <= 1, f"{text.get_text()!r} over {other.get_text()!r}"


def all_texts(figure):
    return "\n".join(text.get_text() for text, _ in texts(figure)).replace("\u00a0", " ")
