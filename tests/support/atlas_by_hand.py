"""An experiment by hand, and what the page of an atlas is told of it."""

import numpy as np
import scores_by_hand as by_hand

from unitscope.atlas import content, page_scores
from unitscope.atlas.album import Album, shown
from unitscope.figures import pictures
from unitscope.scores.exemplars import strongest
from unitscope.tables.table_access import methods_of

LAYERS = {"conv.1": 12, "hidden": 60}
HOSTILE = """<img src=x onerror="document.title='owned'">"'&</script><b>%{x}"""
CLASSES = ["0", "1", "2", HOSTILE, "4", "5", "6", "7", "8", "9"]
TEST_IMAGES = 40


def activity(tap, classes=10):
    """Return what real images say about a layer; the last unit is dead."""
    generator = np.random.default_rng(tap["depth"])
    scales = {name: np.append(generator.random(tap["units"] - 1), 0.0) for name in page_scores.ACTIVATION_SCORES}
    scales["positive_q99"][0] = np.nan
    means = np.append(generator.random((classes, tap["units"] - 1)), np.zeros((classes, 1)), axis=1)
    return page_scores.Activity(scales, means if classes else None)


def natural(records, album, side=6):
    """Return natural images, and which of them excite whom."""
    generator = np.random.default_rng(9)
    exemplars = {}
    for tap in records:
        responses = generator.random((TEST_IMAGES, tap["units"]))
        responses[:, -1] = 0
        exemplars[tap["layer"]] = strongest(responses)
    rows = shown(exemplars.values())
    # Grey images of one brightness each, which even lossy sheets keep.
    images = np.broadcast_to((4 * rows + 30).astype(np.uint8)[:, None, None, None], (len(rows), side, side, 1))
    blocks = [images[first : first + pictures.PER_SHEET] for first in range(0, len(images), pictures.PER_SHEET)]
    return content.Natural(rows, rows % 10, album.add(blocks, generated=False), exemplars)


def layer_images(tap, album, targets=None, side=6, seeds=2):
    """Return what was made for a layer's units by one method, and the images themselves."""
    images = by_hand.images(tap, targets=targets, side=side, seeds=seeds, channels=3)
    flat = images.images.reshape(-1, *images.images.shape[2:])
    blocks = [flat[first : first + pictures.PER_SHEET] for first in range(0, len(flat), pictures.PER_SHEET)]
    return content.GeneratedImages(
        images.units, len(images.units), range(seeds), album.add(blocks, generated=True), lambda: images.responses
    ), images.images


def curves(layer):
    """Return a table of cumulative ablation: by selectivity, by RS under AM, and two random orders."""
    orders = [
        ("selectivity", "ascending", -1, 0.5),
        ("selectivity", "descending", -1, 0.9),
        ("rs_am", "ascending", -1, 0.7),
    ]
    orders += [("random", "random", draw, height) for draw, height in ((0, 0.6), (1, 0.8))]
    rows = [
        (*order[:3], fraction, accuracy)
        for order in orders
        for fraction, accuracy in zip((0.0, 0.5, 1.0), (1.0, order[3], 0.1), strict=True)
    ]
    rows.append(("rs_iam", "ascending", -1, np.nan, np.nan))
    names = ("score", "direction", "draw", "fraction", "accuracy")
    columns = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return {"layer": np.full(len(rows), layer), "clamp": np.full(len(rows), "zero"), **columns}


def whole(layers=LAYERS, classes=CLASSES, data=True, targets=None, constant=("hidden",), methods=by_hand.METHODS):
    """Return what a page is told, its sheets, and the images of its units."""
    records, units, correlations = by_hand.experiment(
        layers, methods=methods, labels=bool(classes) and data, constant=constant
    )
    if classes and data:
        units["top_class"] = np.array([classes[int(top)] if top else "" for top in units["top_class"]], dtype=object)
        units["auc_class"] = np.array([classes[int(top)] if top else "" for top in units["auc_class"]], dtype=object)
    if not (classes and data):
        units.update({name: np.full(len(units["unit"]), np.nan) for name in units if name.startswith("ablation")})
    album = Album(pixels=96)
    generated, images = {}, {}
    for tap in records:
        for method in methods_of(units):
            generated[tap["layer"], method], images[tap["layer"], method] = layer_images(tap, album, targets)
    page_content = content.content(
        units,
        correlations,
        records,
        classes if data else [],
        {tap["layer"]: activity(tap, len(classes)) for tap in records} if data else {},
        generated,
        natural(records, album) if data else None,
        [curves(layer) for layer in ("", *layers)] if data and classes else [],
    )
    return page_content, album.sheets, images


CLAIMS = [
    {
        "name": "C1",
        "source": "Fig. 1",
        "text": HOSTILE,
        "verdicts": [{"verdict": "supported", "scores": ["RS"]}],
        "rows": [
            {
                **{"layer": "hidden", "method": "IAM", "score": "RS (z)", "effect": "0.15", "n": 10, "holds": "open"},
                **{"statistic": "a statistic of many words, " * 5, "interval": "0.10 to 0.20 (95 %)", "note": "why"},
            }
        ],
    }
]
