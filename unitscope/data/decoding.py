"""Image files as a viewer shows them, resized and cropped as torchvision does it.

Files in, uint8 arrays out. Which files belong to a data set is for `unitscope.data.folders`.
"""

import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.errors import UserError, printable
from unitscope.runtime.console import processors

FORMATS = {
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "PPM": (".ppm", ".pgm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""Suffixes of the formats that are read, by Pillow's names; a file may be of any of these, whichever suffix it has.

Pillow knows more, and would have Ghostscript run a file of PostScript.
"""
IMAGE_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes}
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


@dataclass
class Seen:
    """What a decoder has come upon.

    Attributes:
        transparent: Whether an image was laid on the background.
        profiled: Names of the images with a colour profile other than sRGB.
        partial: Names of the images with further pages, frames or channels, which are not read.
        brightest: Largest pixel.
    """

    transparent: bool = False
    profiled: set[str] = field(default_factory=set)
    partial: set[str] = field(default_factory=set)
    brightest: int = 0


@dataclass(frozen=True)
class Decoder:
    """Reads images below a folder.

    Images are turned as EXIF says, transparent ones are laid on the background, and 16-bit grey is scaled to 8 bits.
    Resizing and cropping give the pixels of torchvision's `Resize(resize, interpolation)` and `CenterCrop(crop)` on
    Pillow images.

    Attributes:
        root: The folder.
        resize: Length of the shorter side, or None.
        crop: Side of the square cut from the centre, or None.
        mode: "RGB" or "L".
        interpolation: Name of a filter of Pillow, in lowercase.
        background: A colour that Pillow knows.
        links: "inside" refuses links that lead out of the folder, "anywhere" follows them.
        seen: What it has come upon so far.
    """

    root: Path
    resize: int | None
    crop: int | None
    mode: str
    interpolation: str = "bilinear"
    background: str = "white"
    links: str = "inside"
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def of(cls, root: Path, settings: Mapping[str, Any]) -> "Decoder":
        """Return the decoder that the settings of a data set describe; data sets of earlier versions lack some."""
        names = {each.name for each in fields(cls)} - {"root", "seen"}
        return cls(root, **{name: value for name, value in settings.items() if name in names})

    def __call__(self, names: Sequence[str], checksums: Sequence[str] | None = None) -> np.ndarray:
        """Return images (images, height, width, channels) uint8; with checksums, of just these bytes."""
        with ThreadPoolExecutor(processors()) as pool:
            images = list(pool.map(self._decode, names, checksums or [None] * len(names)))
        for name, image in zip(names, images, strict=True):
            if image.shape != images[0].shape:
                first, other = (printable(self.root / each) for each in (names[0], name))
                raise UserError(
                    f"{first} has the size {images[0].shape[:2]} (height, width) and {other} {image.shape[:2]}; all "
                    "have to be alike. Set resize and crop."
                )
        stacked = np.stack(images)
        if checksums is None:
            self.seen.brightest = max(self.seen.brightest, int(stacked.max()))
        return stacked

    def _decode(self, name: str, checksum: str | None) -> np.ndarray:
        path = inside(self.root, name, self.links)
        content = read(path)
        if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
            raise UserError(f"{printable(path)} has changed since the data set was indexed. Make the data set anew.")

        def shown(image: Any) -> np.ndarray:
            # Not each time that an index is read: an animation is gone through from end to end.
            if checksum is None and has_more(image):
                self.seen.partial.add(name)
            return np.asarray(self._fitted(self._shown(image, path, name), path))

        pixels = opened(path, content, shown)
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def _shown(self, image: Any, path: Path, name: str) -> Any:
        """Return a Pillow image as a viewer shows it, in the mode of the data set."""
        from PIL import Image

        profile = image.info.get("icc_profile") or b""
        # Its description names it, in one byte per letter or in two.
        if profile and not any("sRGB".encode(coding) in profile for coding in ("ascii", "utf-16-be")):
            self.seen.profiled.add(name)
        raw_mode = _raw_mode(image)
        image.load()
        shown = turned(eight_bits(image, path, raw_mode), orientation_of(image))
        if shown.has_transparency_data:
            shown = shown.convert("RGBA")
            if shown.getchannel("A").getextrema()[0] < 255:
                self.seen.transparent = True
                canvas = Image.new("RGBA", shown.size, self.background)
                canvas.alpha_composite(shown)
                shown = canvas
            shown = shown.convert("RGB")
        return shown.convert(self.mode)

    def _fitted(self, image: Any, path: Path) -> Any:
        """Return a Pillow image, resized and cropped."""
        from PIL import Image

        if self.resize is not None:
            short, long = sorted(image.size)
            sides = self.resize, int(self.resize * long / short)
            size = sides if image.width <= image.height else sides[::-1]
            image = image.resize(size, Image.Resampling[self.interpolation.upper()])
        if self.crop is not None:
            if min(image.size) < self.crop:
                raise UserError(
                    f"{printable(path)} is {image.size} (width, height), smaller than crop {self.crop}. Set resize."
                )
            left, top = (round((side - self.crop) / 2) for side in image.size)
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return image


def read(path: Path) -> bytes:
    """Return the content of an image file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        if not path.is_file() and path.exists():
            # A pipe or a device would be read for ever.
            raise UserError(f"{printable(path)} is no regular file. Replace or remove it.")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read as an image ({error}). Replace or remove it.") from error


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
        raise UserError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
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
    known = COLOUR_CHANNELS.get(tags.get(PHOTOMETRIC), 1) + any(kind in OPACITY for kind in tags.get(EXTRA, ()))
    return bool(tags.get(CHANNELS, 1) > known)


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


def _raw_mode(image: Any) -> str:
    """Return how a PNG that is not loaded yet stores its pixels, in Pillow's words; an empty text for other formats."""
    return str(image.tile[0][3]) if image.format == "PNG" and image.tile else ""


def is_grey(root: Path, name: str, links: str) -> bool:
    """Return whether an image file stores shades of grey alone, by its header or palette.

    Raises:
        UserError: It cannot be read, or lies outside the folder.
    """
    path = inside(root, name, links)
    from PIL import Image

    try:
        if not path.is_file():
            read(path)
        with Image.open(path, formats=list(FORMATS)) as image:
            if image.mode in ("P", "PA"):
                colours = np.asarray(image.convert("RGBA"))[..., :3]
                return bool((colours == colours[..., :1]).all())
            # Pillow reads 16-bit grey with an alpha channel as colours.
            return image.mode in GREY_MODES or image.mode.startswith("I;16") or _raw_mode(image).startswith("LA")
    except UserError:
        raise
    except Exception as error:
        raise UserError(_unreadable(path, error)) from error


def inside(root: Path, name: str, links: str = "inside") -> Path:
    """Return the path of a name below a folder.

    Args:
        root: The folder.
        name: Relative to it.
        links: "inside" refuses links that lead out of the folder, "anywhere" allows them.

    Raises:
        UserError: The name leads out of the folder: it is absolute, holds "..", or follows a link to elsewhere.
    """
    path = root / name
    try:
        within = path.resolve().is_relative_to(root.resolve())
    # A zero byte, a name that is too long, links in a circle.
    except (ValueError, OSError, RuntimeError) as error:
        raise UserError(f"{name!r} is no name of a file below the folder {root} ({error}).") from error
    if os.path.isabs(name) or ".." in Path(name).parts:
        raise UserError(f"{name!r} leads out of the folder {root}. Only files below it are read.")
    if path.is_symlink() and not path.exists():
        raise UserError(leads_nowhere(root, name))
    if not within and links != "anywhere":
        raise UserError(leads_out(root, name))
    return path


def leads_out(root: Path, name: str) -> str:
    """Return the sentence about a link that leads out of a folder."""
    cure = "To follow such links, set datasets.NAME.links: anywhere."
    return f"{name!r} is a link that leads out of the folder {root}. {cure}"


def leads_nowhere(root: Path, name: str) -> str:
    """Return the sentence about a link to a file that is not there."""
    target = os.readlink(root / name)
    return f"{name!r} in {root} is a link to {target!r}, and there is no such file. Restore it, or remove the link."
