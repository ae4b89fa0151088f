"""Arrays of numbers as images: uint8, channels last."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unitscope.data.array_names import conjoined
from unitscope.data.dataset_settings import ArraysSettings
from unitscope.errors import UserError
from unitscope.runtime.console import log


def joined(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the arrays of all splits, by their names, under one another."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if len({array.shape[1:] for array in arrays.values()}) > 1 or not all(array.ndim for array in arrays.values()):
        shapes = conjoined(f"{name} {array.shape}" for name, array in arrays.items())
        raise UserError(f"{path}: {shapes} differ beyond their first axis. Give both splits the same shape.")
    try:
        return np.concatenate(list(arrays.values()))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {conjoined(arrays)} cannot be joined ({error}). Give them one type.") from error


def joined_images(path: Path, arrays: Mapping[str, np.ndarray], settings: ArraysSettings) -> np.ndarray:
    """Return the images of all splits, by the names of their arrays, as `as_images` does, each by its own range."""
    channels = settings.channels
    images = {name: as_images(array, f"{path}: {name}", channels) for name, array in arrays.items()}
    white = {name: "1" if array.max() <= 1 else "255" for name, array in arrays.items() if array.dtype.kind == "f"}
    dark = {name: "black" if array.max() <= 1 else "not" for name, array in images.items()}
    if len(set(white.values())) > 1 or len(set(dark.values())) > 1:
        ranges = conjoined(
            f"{name} is {each.dtype} from {each.min()!s} to {each.max()!s}" for name, each in arrays.items()
        )
        raise UserError(f"{path}: {ranges}. Save both splits in one range, from 0 to 1 or from 0 to 255.")
    return joined(path, images)


def as_images(images: np.ndarray, where: str, channels: str | None = None) -> np.ndarray:
    """Return images as uint8 (images, height, width, channels).

    Args:
        images: (images, height, width) or with channels in front of or after height and width; integers from 0 to 255,
            bool, floating-point numbers from 0 to 1, or whole ones from 0 to 255.
        where: File and array, for messages.
        channels: "first" or "last"; None to derive it from the shape.

    Raises:
        UserError: Shape or values have no meaning, or several.
    """
    shape = images.shape
    if images.ndim not in (3, 4) or not images.size:
        cure = " Reshape it: images.reshape(n, height, width, channels)." if images.ndim < 3 and images.size else ""
        raise UserError(
            f"{where} is {images.dtype} of shape {shape}; it has to be (n, height, width) or (n, height, width, "
            f"channels), and not empty.{cure}"
        )
    pixels = as_pixels(images, where)
    if images.ndim == 3:
        return pixels[..., None]
    side = channels or channel_axis(shape)
    if side is None:
        raise UserError(
            f"{where} has the shape {shape}, which does not determine the axis of the channels. Set "
            "datasets.NAME.channels: first or last."
        )
    return np.ascontiguousarray(np.moveaxis(pixels, 1, -1)) if side == "first" else pixels


def channel_axis(shape: Sequence[int]) -> str | None:
    """Return "first" or "last" where one of them is plausible for images (n, ., ., .); None otherwise.

    Plausible are 1 and 3 channels, and any number of channels of square images.
    """
    _, first, middle, last = shape
    plausible = {"first": first in (1, 3) or middle == last, "last": last in (1, 3) or first == middle}
    sides = [side for side, is_plausible in plausible.items() if is_plausible]
    return sides[0] if len(sides) == 1 else None


def as_pixels(values: np.ndarray, where: str) -> np.ndarray:
    """Return pixel values as uint8; 0 to 255 where they are so, and from 0 to 1 by 255."""
    if values.dtype.kind not in "buif":
        raise UserError(f"{where} is {values.dtype}; pixels have to be numbers. Save them as uint8.")
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * 255
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu":
        if low < 0:
            cure = " Bytes that were read with a sign are images.view('uint8')." if values.dtype == np.int8 else ""
            raise UserError(
                f"{where} is {values.dtype} from {low} to {high}; pixels are not negative. Save the images as they "
                f"were before normalization, from 0 to 255.{cure}"
            )
        if high > 255:
            raise UserError(
                f"{where} is {values.dtype} from {low} to {high}; pixels have 8 bits, 0 to 255. Scale them, for "
                f"example (images / {high} * 255).astype('uint8')."
            )
        if high <= 1:
            log.warning(
                "%s: the largest pixel is %d of 255, so all images are black. Save 0 and 1 as bool.", where, high
            )
        return values.astype(np.uint8, copy=False)
    if not np.isfinite(low) or not np.isfinite(high):
        raise UserError(f"{where} holds NaN or infinite values. Replace them.")
    if low < 0:
        raise UserError(
            f"{where} is {values.dtype} from {low!s} to {high!s}; pixels are not negative. Save the images as they "
            "were before normalization, from 0 to 1 or from 0 to 255."
        )
    if high <= 1:
        if high * 255 <= 1:
            log.warning(
                "%s: the largest pixel is %.4g, where 1 is white, so all images are black. Save them from 0 to 1.",
                *(where, high),
            )
        return _rounded(values, 255)
    if high > 255 or not all((block == np.rint(block)).all() for block in _blocks(values)):
        raise UserError(
            f"{where} is {values.dtype} from {low!s} to {high!s}; floating-point pixels are from 0 to 1, or whole "
            "numbers from 0 to 255. Where 1 is white, clip them: np.clip(images, 0, 1); where 255 is, round them: "
            "np.rint(images).astype('uint8')."
        )
    return _rounded(values, 1)


def _rounded(values: np.ndarray, scale: int) -> np.ndarray:
    result = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), 4096):
        result[first : first + 4096] = np.rint(values[first : first + 4096].astype(np.float64) * scale)
    return result


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    return [values[first : first + 4096] for first in range(0, len(values), 4096)]
