"""Pillow images as a viewer shows them: upright, with 8 bits per channel; and what Pillow does not read of a file."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.data.image_files import FORMATS
from unitscope.errors import UserError, printable

GREY_MODES = ("1", "L", "LA", "La", "I", "F")
ORIENTATION = 0x0112
"""Number of EXIF's tag."""
REDUCED, BITS, PHOTOMETRIC, CHANNELS, PLANES, EXTRA, SAMPLE = 254, 258, 262, 277, 284, 338, 339
"""Numbers of TIFF's tags."""
COLOUR_CHANNELS = {2: 3, 5: 4, 6: 3, 8: 3}
"""Channels of TIFF's colours, by the value of its tag PHOTOMETRIC; others have one."""
SIGNED = 2
"""Value of TIFF's tag SAMPLE."""
OPACITY = (1, 2)
"""Values of TIFF's tag EXTRA."""


def opened(path: Path, content: bytes, function: Callable[[Any], Any]) -> Any:
    """Return a function's value of the Pillow image that a file holds.

    Raises:
        UserError: It holds no image, or a damaged one.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=list(FORMATS)) as image:
            return function(image)
    except UserError:
        raise
    except Exception as error:
        # Pillow raises whatever it comes upon in a damaged file.
        raise UserError(unreadable(path, error)) from error


def unreadable(path: Path, error: Exception) -> str:
    """Return the sentences about an image that Pillow could not read."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return (
            f"{printable(path)} is no image that can be read: it is empty, damaged, of another format than "
            f"{', '.join(FORMATS)}, or of a rare kind. Save it anew as PNG with 8 bits, or remove it."
        )
    if isinstance(error, Image.DecompressionBombError):
        return f"{printable(path)} is too large ({str(error).partition(',')[0]}). Save it smaller, or remove it."
    return f"{printable(path)} cannot be read as an image ({error}). Replace or remove it."


def orientation_of(image: Any) -> int:
    """Return EXIF's orientation of a loaded Pillow image, 1 if there is none; damaged data count as none."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:
        # As a viewer does; Pillow raises whatever it comes upon in damaged data.
        return 1
    return orientation if isinstance(orientation, int) else 1


def turned(image: Any, orientation: int) -> Any:
    """Return a Pillow image turned upright from EXIF's orientation."""
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def has_more(image: Any) -> bool:
    """Return whether a file has pages, frames or channels that Pillow does not read; damage counts as none."""
    try:
        more = _has_more_channels(image) or _has_more_pages(image)
    except Exception:
        # Pillow raises whatever it comes upon in a damaged file.
        more = False
    image.seek(0)
    return more


def _has_more_channels(image: Any) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    # One may be opacity.
    expected_channels = COLOUR_CHANNELS.get(tags.get(PHOTOMETRIC), 1) + any(
        kind in OPACITY for kind in tags.get(EXTRA, ())
    )
    return bool(tags.get(CHANNELS, 1) > expected_channels)


def _has_more_pages(image: Any) -> bool:
    if image.format not in ("GIF", "PNG", "TIFF", "WEBP"):
        # The further images in a JPEG are previews.
        return False
    for page in range(1, getattr(image, "n_frames", 1)):
        image.seek(page)
        # A page of a TIFF may be the first one in another size.
        if image.format != "TIFF" or not image.tag_v2.get(REDUCED, 0) & 1:
            return True
    return False


def eight_bits(image: Any, path: Path, raw_mode: str = "") -> Any:
    """Return a Pillow image with at most 8 bits per channel: deep grey is scaled.

    Args:
        image: Loaded.
        path: For messages.
        raw_mode: How a PNG stores its pixels, in Pillow's words; its transparent colour is given in these.

    Raises:
        UserError: The pixels are 32-bit numbers, for which no black and white are defined, or Pillow misreads them.
    """
    from PIL import Image

    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits = tags.get(BITS, (16,))[0]
    clear = image.info.get("transparency") if raw_mode else None
    # Pillow reads a deep .pgm, scaled to 16 bits, into 32.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        deep = np.asarray(image).astype(np.uint32)
        white = 2**bits - 1
        # Pillow inverts just 8 bits.
        scaled = ((white - deep if tags.get(PHOTOMETRIC) == 0 else deep) * 510 + white) // (2 * white)
        grey = Image.fromarray(scaled.astype(np.uint8))
        if clear is None:
            return grey
        return Image.merge("LA", (grey, Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8))))
    if image.mode in ("I", "F"):
        kind = {"I": "integers", "F": "floating-point numbers"}[image.mode]
        kind = f"{bits if tags else 32}-bit {kind}{' with a sign' if tags.get(SAMPLE, (1,))[0] == 2 else ''}"
        raise UserError(
            f"{printable(path)} holds {kind}, which define no black and white. Scale the pixels to 0 to 255 and "
            "save them with 8 bits."
        )
    if tags.get(SAMPLE, (1,))[0] == SIGNED:
        raise UserError(
            f"{printable(path)} holds {bits}-bit integers with a sign, which Pillow reads as if they had none. Scale "
            "the pixels to 0 to 255, and save them without a sign."
        )
    if tags and EXTRA not in tags and image.mode == "RGBA" and image.getchannel("A").getextrema()[0] < 255:
        raise UserError(
            f"{printable(path)} has a fourth channel, and no tag (ExtraSamples) says whether it is opacity. Save it "
            "with 3 channels, or with an alpha channel; more channels are read as arrays (source: arrays)."
        )
    if tags.get(PLANES) == 2 and bits > 8:
        raise UserError(
            f"{printable(path)} holds {bits}-bit channels one after another (planar), which Pillow misreads. Save it "
            "with 8 bits, or with the channels of each pixel together."
        )
    if isinstance(clear, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = clear * {"L;2": 85, "L;4": 17}[raw_mode]
    if isinstance(clear, tuple) and raw_mode.startswith("RGB;16"):
        del image.info["transparency"]
        if (np.asarray(image) == np.array(clear) >> 8).all(-1).any():
            raise UserError(
                f"{printable(path)} holds 16-bit colours, one of which is transparent; Pillow reads 8 bits of them. "
                "Save it with 8 bits, or with an alpha channel."
            )
    return image


def raw_mode_of(image: Any) -> str:
    """Return how a PNG that is not loaded yet stores its pixels, in Pillow's words; an empty text for other formats."""
    return str(image.tile[0][3]) if image.format == "PNG" and image.tile else ""
