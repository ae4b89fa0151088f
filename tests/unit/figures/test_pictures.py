"""Images as people look at them, whatever their number of channels, and the sheets that hold them."""

import io

import numpy as np
import pytest
from PIL import Image

from unitscope.figures.pictures import COLUMNS, PER_SHEET, reduced, rgb, sheets


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_images_of_any_number_of_channels_are_shown(channels, kind):
    values = np.random.default_rng(0).integers(0, 256, (2, 4, 6, channels)).astype(kind)
    images = values if kind == np.uint8 else values / 255
    shown = rgb(images)
    assert shown.dtype == np.uint8 and shown.shape == (2, 4, 6, 3)
    if channels == 3:
        np.testing.assert_array_equal(shown, values)
    else:
        mean = values.mean(axis=-1)
        for channel in range(3):
            np.testing.assert_allclose(shown[..., channel], mean, atol=0.5 + 1e-3)


def test_floats_outside_of_0_and_1_are_clipped():
    shown = rgb(np.array([-0.5, 0, 0.5, 1, 2], np.float32).reshape(1, 1, 5, 1))
    assert shown[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


# --- reduction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "size"), [(8, 8, (8, 8)), (12, 24, (6, 12)), (24, 12, (12, 6)), (48, 1, (12, 1))]
)
def test_large_images_are_reduced_in_proportion(height, width, size):
    assert reduced(np.zeros((2, height, width, 3), np.uint8), 12).shape == (2, *size, 3)


def test_small_images_keep_their_pixels():
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(reduced(images, 12), images)


def test_a_reduced_pixel_is_the_mean_of_those_that_it_covers():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    means = images.reshape(3, 4, 2, 6, 2, 3).astype(float).mean(axis=(2, 4))
    np.testing.assert_allclose(reduced(images, 6), means, atol=1)


# --- sheets ----------------------------------------------------------------------------------------------------------


def cell_of(packed, number):
    """Return an image as its sheet shows it, with the edge that fills its cell, (height, width, 3)."""
    sheet = np.asarray(Image.open(io.BytesIO(packed.files[number // PER_SHEET])).convert("RGB"))
    row, column = divmod(number % PER_SHEET, COLUMNS)
    width, height = packed.cell
    return sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]


def test_exact_sheets_keep_every_pixel():
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 7, 3), dtype=np.uint8)
    packed = sheets([images], exact=True)
    assert (packed.size, packed.cell, packed.count, len(packed.files)) == ((7, 5), (7, 5), 20, 1)
    for number in (0, 15, 16, 19):
        np.testing.assert_array_equal(cell_of(packed, number), images[number])


def test_lossy_sheets_have_cells_of_whole_squares_filled_by_the_edge():
    images = np.zeros((3, 5, 17, 3), np.uint8)
    images[:, :, -1] = 200
    packed = sheets([images], exact=False)
    assert (packed.size, packed.cell) == ((17, 5), (32, 16))
    for number in range(3):
        cell = cell_of(packed, number).astype(int)
        assert cell[:, :12].max() < 40 and cell[:, 20:].min() > 160


def test_a_full_block_takes_a_sheet_and_the_rest_another():
    images = np.zeros((PER_SHEET + 2, 2, 2, 3), np.uint8)
    images[-1] = 255
    packed = sheets(iter([images[:PER_SHEET], images[PER_SHEET:]]), exact=True)
    assert (packed.count, len(packed.files)) == (PER_SHEET + 2, 2)
    heights = [Image.open(io.BytesIO(file)).size for file in packed.files]
    assert heights == [(2 * COLUMNS, 2 * PER_SHEET // COLUMNS), (2 * COLUMNS, 2)]
    assert cell_of(packed, PER_SHEET).max() == 0 and cell_of(packed, PER_SHEET + 1).min() == 255


def test_exactness_is_worth_its_size():
    images = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), dtype=np.uint8)
    exact, lossy = (sheets([images], exact) for exact in (True, False))
    assert exact.cell == lossy.cell == (16, 16)
    assert len(lossy.files[0]) < 0.8 * len(exact.files[0])


def test_the_same_images_give_the_same_bytes():
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    for exact in (True, False):
        assert sheets([images], exact) == sheets([images.copy()], exact)


def test_sheets_need_an_image():
    with pytest.raises(ValueError, match="sheets need an image"):
        sheets([], exact=True)
