"""The sheets of a page: their numbers, the size of their images, and which natural images are on them."""

import io

import numpy as np
import pytest
from PIL import Image

from unitscope.atlas.album import ENLARGED, Album, shown
from unitscope.figures.pictures import COLUMNS, PER_SHEET
from unitscope.scores.exemplars import Exemplars


def images(count=1, height=8, width=8, channels=1, value=0):
    return np.full((count, height, width, channels), value, np.uint8)


def test_sheets_are_numbered_in_the_order_in_which_they_are_added():
    album = Album(pixels=96)
    places = [album.add(blocks, generated=True) for blocks in ([images(PER_SHEET), images(3)], [images()], [images(2)])]
    assert [(place["sheet"], place["count"]) for place in places] == [(0, PER_SHEET + 3), (2, 1), (3, 2)]
    assert len(album.sheets) == 4
    assert {(place["perSheet"], place["columns"]) for place in places} == {(PER_SHEET, COLUMNS)}


@pytest.mark.parametrize(
    ("height", "width", "pixels", "size", "enlarged"),
    [
        (8, 6, 96, (6, 8), True),
        (ENLARGED, 10, 96, (10, ENLARGED), True),
        (ENLARGED + 1, 10, 96, (10, ENLARGED + 1), False),
        (200, 80, 50, (20, 50), False),
        # Scaled down, and so not pixel by pixel.
        (20, 20, 10, (10, 10), False),
    ],
)
def test_small_images_are_enlarged_and_large_ones_reduced(height, width, pixels, size, enlarged):
    place = Album(pixels).add([images(2, height, width)], generated=True)
    assert (place["size"], place["enlarged"]) == (size, enlarged)
    # Only images that are shown pixel by pixel lie side by side, the others in squares of lossy compression.
    assert (place["cell"] == size) == enlarged


def test_generated_images_keep_every_pixel_and_natural_ones_do_not():
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    for generated in (True, False):
        album = Album(pixels=96)
        place = album.add(iter([noise]), generated)
        assert place["enlarged"] and place["size"] == (16, 16)
        sheet = np.asarray(Image.open(io.BytesIO(album.sheets[0])).convert("RGB"))
        assert np.array_equal(sheet[:16, 16:32], noise[1]) == generated


def test_grey_images_in_0_to_1_are_shown():
    album = Album(pixels=96)
    album.add([np.full((1, 8, 8, 1), 0.5, np.float32)], generated=True)
    assert np.asarray(Image.open(io.BytesIO(album.sheets[0])).convert("RGB"))[0, 0].tolist() == [128] * 3


def exemplars(*rows):
    rows = np.array(rows)
    return Exemplars(rows, np.where(rows < 0, np.nan, 1.0))


def test_natural_images_are_shown_once_in_the_order_of_the_units():
    rows = shown([exemplars([7, 3, -1], [3, 9, 7]), exemplars([1, 9, 0])])
    assert rows.tolist() == [7, 3, 9, 1, 0]


def test_layers_without_exemplars_need_no_natural_images():
    assert shown([]).tolist() == shown([exemplars([-1, -1])]).tolist() == []
