"""Images as people look at them, whatever their number of channels."""

import numpy as np
import pytest

from unitscope.figures.pictures import rgb


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
