"""Image files as a viewer shows them, resized and cropped as torchvision does it.

Files in, uint8 arrays out. Which files belong to a data set is for `unitscope.data.folders`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from unitscope.data.image_files import FORMATS, inside, read
from unitscope.data.pillow_images import (
    GREY_MODES,
    eight_bits,
    has_more,
    opened,
    orientation_of,
    raw_mode_of,
    turned,
    unreadable,
)
from unitscope.errors import UserError, printable
from unitscope.runtime.console import processors


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
        raw_mode = raw_mode_of(image)
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
            return image.mode in GREY_MODES or image.mode.startswith("I;16") or raw_mode_of(image).startswith("LA")
    except UserError:
        raise
    except Exception as error:
        raise UserError(unreadable(path, error)) from error
