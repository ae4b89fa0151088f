"""Image files as a viewer shows them, and with the pixels of torchvision's transforms."""

import io
import json
import struct
import tarfile
import zlib

import h5py
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from real_images import FOLDER, collected, shared
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from unitscope.data.datasets import open_dataset, write_dataset
from unitscope.data.decoding import Decoder, is_grey
from unitscope.data.image_files import FORMATS
from unitscope.data.raw_data import MAY_BE_IDLE
from unitscope.errors import UserError
from unitscope.storage.records import sha256_of

CORNERS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def decoded(path, mode="RGB", **settings):
    """Return the pixels of one file."""
    return Decoder.of(path.parent, {"resize": None, "crop": None, "mode": mode, **settings})([path.name])[0]


def saved(path, image, **options):
    image.save(path, **options)
    return path


def tiff(path, pixels, bits=16, **tags):
    """Write a grey or planar TIFF from stored bytes, as Pillow does not write it."""
    channels = 3 if tags.get("planes") == 2 else 1
    width, height, content = pixels.shape[-1], pixels.shape[-2], pixels.astype("u1" if bits == 8 else "<u2").tobytes()
    if bits == 12:
        pairs = pixels.reshape(-1, 2).astype(int)
        content = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)
    end = 8 + len(content)
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: tags.get("photometric", 1), 273: 8, 277: channels}
    entries |= {278: height, 279: len(content), 284: tags.get("planes", 1), 339: tags.get("sample", 1)}
    extra = end + 2 + 12 * len(entries) + 4
    directory, tail = struct.pack("<H", len(entries)), b""
    for tag, value in entries.items():
        if channels == 3 and tag in (258, 273, 279, 339):
            values = {273: [8 + n * len(content) // 3 for n in range(3)], 279: [len(content) // 3] * 3}
            directory += struct.pack("<HHII", tag, 4, 3, extra + len(tail))
            tail += struct.pack("<3I", *values.get(tag, [value] * 3))
        else:
            directory += struct.pack("<HHII", tag, 4, 1, value)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, end) + content + directory + struct.pack("<I", 0) + tail)
    return path


def png(path, rows, bits, kind, clear=None):
    """Write a PNG of four columns, perhaps with a transparent colour, from rows of bytes."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 4, len(rows), bits, kind, 0, 0, 0)}
    chunks |= {} if clear is None else {b"tRNS": clear}
    chunks |= {b"IDAT": zlib.compress(b"".join(b"\0" + row for row in rows)), b"IEND": b""}
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


# --- as a viewer shows them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "x.png", Image.fromarray(CORNERS), exif=exif)
    upright = {
        1: CORNERS,
        2: CORNERS[:, ::-1],
        3: CORNERS[::-1, ::-1],
        4: CORNERS[::-1],
        5: CORNERS.T,
        6: np.rot90(CORNERS, -1),
        7: CORNERS[::-1, ::-1].T,
        8: np.rot90(CORNERS),
    }[orientation]
    np.testing.assert_array_equal(decoded(path, "L")[..., 0], upright)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_meaningless_exif_data_are_ignored(tmp_path, value):
    exif = Image.Exif()
    exif[0x0112] = value
    path = saved(tmp_path / "x.jpg", Image.fromarray(CORNERS), exif=exif)
    broken = (
        path.read_bytes().replace(b"Exif\x00\x00MM\x00*", b"Exif\x00\x00MM\xff\xff").replace(b"II*\x00", b"II\xff\xff")
    )
    expected = decoded(path, "L")
    path.write_bytes(broken)
    np.testing.assert_array_equal(decoded(path, "L"), expected)


def test_deep_grey_is_scaled_and_not_clipped(tmp_path):
    deep = np.array([[0, 128, 129, 257], [32768, 40000, 65279, 65535]], np.uint16)
    eight = np.round(deep / 257).astype(np.uint8)
    for name in ("x.png", "x.tif"):
        path = saved(tmp_path / name, Image.fromarray(deep))
        np.testing.assert_array_equal(decoded(path, "L")[..., 0], eight)
        np.testing.assert_array_equal(decoded(path)[..., 2], eight)
    (tmp_path / "x.pgm").write_bytes(b"P5 4 2 65535\n" + deep.astype(">u2").tobytes())
    np.testing.assert_array_equal(decoded(tmp_path / "x.pgm", "L")[..., 0], eight)


def test_deep_tiff_follows_its_tags(tmp_path):
    deep = np.array([[0, 128, 129, 257], [32768, 40000, 65279, 65535]], np.uint16)
    np.testing.assert_array_equal(
        decoded(tiff(tmp_path / "inverted.tif", deep, photometric=0), "L")[..., 0], 255 - np.round(deep / 257)
    )
    np.testing.assert_array_equal(
        decoded(tiff(tmp_path / "12.tif", deep >> 4, bits=12), "L")[..., 0], np.round((deep >> 4) / 4095 * 255)
    )
    with pytest.raises(UserError, match=r"holds 16-bit integers with a sign"):
        decoded(tiff(tmp_path / "signed.tif", deep, sample=2))
    with pytest.raises(UserError, match=r"16-bit channels one after another \(planar\)"):
        decoded(tiff(tmp_path / "planar.tif", np.stack([deep] * 3), planes=2, photometric=2))


@pytest.mark.parametrize(
    ("bits", "row", "clear", "shades"),
    [
        (1, bytes([0b01010000]), 1, [0, 9, 0, 9]),
        (1, bytes([0b01010000]), 0, [9, 255, 9, 255]),
        (2, bytes([0b00011011]), 1, [0, 9, 170, 255]),
        (4, bytes([0x01, 0x3F]), 3, [0, 17, 9, 255]),
        (16, struct.pack(">4H", 1000, 1001, 0, 65535), 1000, [9, 4, 0, 255]),
    ],
)
def test_transparent_grey_of_a_png_is_composited_on_the_background(tmp_path, bits, row, clear, shades):
    path = png(tmp_path / "x.png", [row], bits, 0, struct.pack(">H", clear))
    assert decoded(path, "L", background="#090909")[0, :, 0].tolist() == shades


def test_a_transparent_colour_of_16_bits(tmp_path):
    row = struct.pack(">12H", *[1000] * 3, *[1001] * 3, *[0] * 3, *[65535] * 3)
    with pytest.raises(UserError, match="16-bit colours, one of which is transparent"):
        decoded(png(tmp_path / "x.png", [row], 16, 2, struct.pack(">3H", 1000, 1000, 1000)))
    path = png(tmp_path / "y.png", [row], 16, 2, struct.pack(">3H", 5000, 5000, 5000))
    assert decoded(path)[0, :, 0].tolist() == [3, 3, 0, 255]


@pytest.mark.parametrize("mode", ["L", "auto"])
def test_errors_of_pillow_are_reported_readably(tmp_path, mode):
    for name, content in (("empty", b""), ("html", b"<html>404</html>")):
        (tmp_path / name / "a").mkdir(parents=True)
        for each in "xy":
            (tmp_path / name / f"a/{each}.png").write_bytes(content)
        with pytest.raises(UserError, match=r"[xy]\.png is no image that can be read") as error:
            collected({**FOLDER, "path": str(tmp_path / name), "mode": mode, "store": "images"}).images(np.arange(1))
        assert "BytesIO" not in str(error.value)
    rows = [bytes(40)]
    path = png(tmp_path / "big.png", rows, 8, 0, b"\0\0")
    header = struct.pack(">4sIIBBBBB", b"IHDR", 20000, 20000, 8, 0, 0, 0, 0)
    content = path.read_bytes()
    path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    with pytest.raises(UserError, match=r"is too large \(Image size \(400000000 pixels\) exceeds limit"):
        decoded(path)


def test_files_with_the_suffix_of_another_format_are_read(tmp_path):
    pixels = Image.fromarray(CORNERS)
    for kind in (*FORMATS, "MPO"):
        content = io.BytesIO()
        pixels.convert("RGB").save(content, kind, **{"lossless": True} if kind == "WEBP" else {})
        for suffix in (".png", ".jpg"):
            (tmp_path / f"x{suffix}").write_bytes(content.getvalue())
            assert decoded(tmp_path / f"x{suffix}").shape == (*CORNERS.shape, 3)
            assert is_grey(tmp_path, f"x{suffix}", "inside") in (True, False)


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA"])
def test_postscript_is_not_executed_and_other_formats_are_refused(tmp_path, monkeypatch, kind):
    run = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **named: run.append(arguments))
    pixels = Image.fromarray(CORNERS).convert("RGB").resize((32, 32))
    content = io.BytesIO()
    pixels.save(content, kind)
    (tmp_path / "x.png").write_bytes(content.getvalue())
    for read in (lambda: decoded(tmp_path / "x.png"), lambda: is_grey(tmp_path, "x.png", "inside")):
        with pytest.raises(UserError, match=r"x\.png is no image that can be read: .* another format than BMP, GIF"):
            read()
    assert not run


def test_a_turned_deep_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "x.png", Image.fromarray(CORNERS.astype(np.uint16) * 257), exif=exif)
    np.testing.assert_array_equal(decoded(path, "L")[..., 0], np.rot90(CORNERS, -1))


@pytest.mark.parametrize(("kind", "words"), [(np.float32, "floating-point"), (np.int32, "integers")])
def test_pixels_of_unknown_range_are_refused_with_a_remedy(tmp_path, kind, words):
    path = saved(tmp_path / "x.tif", Image.fromarray(np.zeros((4, 4), kind)))
    with pytest.raises(UserError, match=rf"x\.tif holds 32-bit {words}.*Scale the pixels"):
        decoded(path)


def transparent(kind):
    """Return an image that is red (or dark) and opaque on the left, transparent in the middle, half so on the right."""
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, [255, 0, 128]
    image = Image.fromarray(pixels)
    if kind == "P":
        image = Image.new("P", (3, 2))
        image.putpalette([200, 0, 0, 9, 9, 9])
        image.paste(1, (1, 0, 2, 2))
        image.info["transparency"] = 1
    return image.convert("LA") if kind == "LA" else image


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_transparent_images_are_composited_on_the_background(tmp_path, kind):
    options = {"transparency": 1} if kind == "P" else {}
    path = saved(tmp_path / "x.png", transparent(kind), **options)
    dark = np.array([60] * 3 if kind == "LA" else [200, 0, 0])
    for background, colour in (("white", [255] * 3), ("black", [0] * 3), ("#102030", [16, 32, 48])):
        row = decoded(path, background=background)[0]
        np.testing.assert_array_equal(row[0], dark)
        np.testing.assert_array_equal(row[1], colour)
        if kind != "P":
            np.testing.assert_allclose(row[2], dark * 128 / 255 + np.array(colour) * 127 / 255, atol=1)


def test_cmyk_and_a_transparent_colour(tmp_path):
    path = saved(tmp_path / "x.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=95)
    np.testing.assert_allclose(decoded(path)[0, 0], [255, 0, 0], atol=3)
    path = saved(tmp_path / "x.png", Image.new("RGB", (2, 2), (9, 8, 7)), transparency=(9, 8, 7))
    assert (decoded(path) == 255).all()
    path = saved(tmp_path / "l.png", Image.new("L", (2, 2), 9), transparency=9)
    assert (decoded(path, "L") == 255).all()


# --- grey or colour --------------------------------------------------------------------------------------------------


def folder(root, *images, **changes):
    (root / "x").mkdir(parents=True)
    for number, (image, suffix) in enumerate(images):
        saved(root / f"x/{number}{suffix}", image)
    return {**FOLDER, "path": str(root), "store": "images", "mode": "auto", **changes}


GREY = [
    (Image.new("L", (4, 4), 9), ".png"),
    (Image.new("1", (4, 4), 1), ".png"),
    (Image.new("LA", (4, 4), (9, 9)), ".png"),
    (Image.new("L", (4, 4), 9).convert("P"), ".gif"),
    (Image.fromarray(np.full((4, 4), 999, np.uint16)), ".tif"),
    (Image.new("L", (4, 4), 9), ".jpg"),
]


def test_the_mode_is_that_of_the_files(tmp_path, caplog):
    settings = folder(tmp_path / "grey", *GREY)
    write_dataset(tmp_path / "x.h5", collected(settings))
    assert "all 6 images are grey" in caplog.text and "datasets.NAME.mode: RGB" in caplog.text
    with open_dataset(tmp_path / "x.h5") as dataset:
        assert dataset.shape == [1, 4, 4] and dataset.settings["mode"] == "L"
    settings = folder(tmp_path / "mixed", *GREY, (Image.new("RGB", (4, 4), (9, 9, 9)), ".png"))
    write_dataset(tmp_path / "y.h5", collected(settings))
    with open_dataset(tmp_path / "y.h5") as dataset:
        assert dataset.shape == [3, 4, 4] and dataset.settings["mode"] == "RGB"
    assert collected({**settings, "mode": "L"}).images(np.arange(2)).shape == (2, 4, 4, 1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [0, 65535])
def test_grey_with_an_alpha_channel_is_grey_at_any_depth(tmp_path, bits, alpha):
    pixels = np.array([[0, alpha], [65535, alpha], [257, alpha], [0, alpha]], ">u2")
    (tmp_path / "a").mkdir()
    for name in ("x.png", "y.png"):
        png(tmp_path / "a" / name, [(pixels if bits == 16 else (pixels >> 8).astype(np.uint8)).tobytes()] * 4, bits, 4)
    grey_images = collected({**FOLDER, "path": str(tmp_path), "store": "images", "mode": "auto"}).images(np.arange(2))
    assert grey_images.shape == (2, 4, 4, 1)
    np.testing.assert_array_equal(grey_images[0, 0, :, 0], [0, 255, 1, 0] if alpha else [255] * 4)


# --- what the artifact says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["images", "index"])
def test_the_artifact_records_the_applied_settings(tmp_path, store):
    new = {"interpolation": "bicubic", "background": "black", "links": "inside", "store": store}
    opaque = [(Image.new("RGB", (9, 6), (n, 0, 0)), ".png") for n in range(4)]
    settings = folder(tmp_path / "opaque", *opaque, **new)
    write_dataset(tmp_path / "x.h5", collected(settings))
    with open_dataset(tmp_path / "x.h5") as dataset:
        assert not {"interpolation", "background", "links"} & set(dataset.settings)
    settings = folder(tmp_path / "clear", *opaque, (Image.new("RGBA", (9, 6), (9, 9, 9, 0)), ".png"), resize=4, **new)
    for name in ("y", "z"):
        write_dataset(tmp_path / f"{name}.h5", collected(settings))
    assert sha256_of(tmp_path / "y.h5") == sha256_of(tmp_path / "z.h5")
    with open_dataset(tmp_path / "y.h5") as dataset:
        assert dataset.settings == {key: value for key, value in settings.items() if key != "links"} | {"mode": "RGB"}
        values = [dataset.images(split) for split in ("train", "test")]
        assert not np.concatenate(values)[..., 1].any()


def test_an_index_of_an_earlier_version_is_read(tmp_path):
    settings = folder(tmp_path / "tree", *[(Image.new("RGB", (9, 6), (n, 0, 0)), ".png") for n in range(4)], resize=4)
    settings |= {"store": "index", "mode": "RGB"}
    write_dataset(tmp_path / "x.h5", collected(settings))
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        stored = json.loads(file.attrs["settings"])
        file.attrs["settings"] = json.dumps({key: stored[key] for key in stored if key not in MAY_BE_IDLE})
        assert set(stored) & set(MAY_BE_IDLE)
    with open_dataset(tmp_path / "x.h5") as dataset:
        assert dataset.images("train").shape == (3, 4, 6, 3)


def test_colour_profiles_are_counted_and_not_applied(tmp_path, caplog):
    settings = folder(tmp_path / "x", *[(Image.new("RGB", (4, 4), (200, 9, 9)), ".png")] * 4)
    for number, profile in enumerate((b"desc Adobe RGB (1998)", b"desc sRGB IEC61966-2.1", b"m\0s\0R\0G\0B")):
        saved(tmp_path / f"x/x/{number}.png", Image.new("RGB", (4, 4), (200, 9, 9)), icc_profile=profile)
    write_dataset(tmp_path / "x.h5", collected(settings))
    assert "1 images have a colour profile other than sRGB, which is not applied" in caplog.text
    with open_dataset(tmp_path / "x.h5") as dataset:
        assert (dataset.images("train") == [200, 9, 9]).all()


@pytest.mark.parametrize("store", ["images", "index"])
@pytest.mark.parametrize("suffix", [".gif", ".png", ".tif", ".webp"])
def test_pages_and_frames_that_are_not_read_are_warned_of(tmp_path, caplog, suffix, store):
    frames = [Image.fromarray(np.full((4, 6, 3), shade, np.uint8)) for shade in (200, 90, 30)]
    settings = folder(tmp_path / "x", *[(frames[0], ".png")] * 3) | {"store": store}
    saved(tmp_path / f"x/x/many{suffix}", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(tmp_path / f"x/x/many{suffix}"), np.full((4, 6, 3), 200))
    write_dataset(tmp_path / "x.h5", collected(settings))
    assert [line for line in caplog.messages if f"1 images, such as x/many{suffix}, have more than one page" in line]


def channels(path, count, *extra, kind=1):
    """Write a TIFF of colours with 8 bits and further channels, as Pillow does not write it."""
    pixels = np.full((4, 6, count), 100, np.uint8)
    entries = {256: [6], 257: [4], 258: [8] * count, 259: [1], 262: [2], 273: [8], 277: [count], 278: [4]}
    entries |= {279: [pixels.size], **({338: list(extra)} if extra else {}), 339: [kind] * count}
    end = 8 + pixels.size
    directory, tail = struct.pack("<H", len(entries)), b""
    for tag, values in entries.items():
        content = struct.pack(f"<{len(values)}H", *values)
        if len(content) > 4:
            content, tail = struct.pack("<I", end + 2 + 12 * len(entries) + 4 + len(tail)), tail + content
        directory += struct.pack("<HHI", tag, 3, len(values)) + content.ljust(4, b"\0")
    path.write_bytes(struct.pack("<2sHI", b"II", 42, end) + pixels.tobytes() + directory + bytes(4) + tail)
    return path


@pytest.mark.parametrize(("count", "extra", "warns"), [(3, (), False), (4, (0,), True), (5, (0, 0), True)])
def test_channels_that_are_not_read_are_warned_of(tmp_path, caplog, count, extra, warns):
    settings = folder(tmp_path / "x", *[(Image.new("RGB", (6, 4), (100, 100, 100)), ".png")] * 3)
    path = channels(tmp_path / "x/x/many.tif", count, *extra)
    np.testing.assert_array_equal(decoded(path), np.full((4, 6, 3), 100))
    write_dataset(tmp_path / "x.h5", collected(settings))
    assert ("1 images, such as x/many.tif, have more than one page or frame, or channels" in caplog.text) is warns


def test_opacity_and_previews_of_a_tiff_are_not_warned_of(tmp_path, caplog):
    image = Image.new("RGBA", (6, 4), (9, 9, 99, 128))
    settings = folder(tmp_path / "x", *[(image, ".tif")] * 3)
    preview = image.resize((3, 2))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    saved(tmp_path / "x/x/3.tif", image, save_all=True, append_images=[preview])
    with Image.open(tmp_path / "x/x/3.tif") as written:
        assert written.n_frames == 2
    write_dataset(tmp_path / "x.h5", collected(settings))
    assert "more than one page" not in caplog.text


def test_an_ambiguous_fourth_channel_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"x\.tif has a fourth channel, and no tag .*source: arrays"):
        decoded(channels(tmp_path / "x.tif", 4))


@pytest.mark.parametrize("bits", [8, 16])
def test_signed_pixels_are_refused(tmp_path, bits):
    with pytest.raises(UserError, match=rf"x\.tif holds {bits}-bit integers with a sign.*Scale the pixels"):
        decoded(tiff(tmp_path / "x.tif", CORNERS, bits, sample=2), "L")


@pytest.mark.parametrize("store", ["images", "index"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_black_images_are_warned_of(tmp_path, caplog, dtype, store):
    # Masks of 0 and 1, or 12 bits kept in 16.
    dark = (CORNERS > 99).astype(dtype) if dtype is np.uint8 else CORNERS.astype(dtype) * 17
    settings = folder(tmp_path / "x", *[(Image.fromarray(dark), ".png")] * 4) | {"store": store}
    write_dataset(tmp_path / "x.h5", collected(settings))
    (line,) = [line for line in caplog.messages if "largest pixel" in line]
    assert f"{tmp_path / 'x'}: the largest pixel of all images is" in line and "Scale the pixels" in line
    caplog.clear()
    saved(tmp_path / "x/x/3.png", Image.fromarray(CORNERS))
    write_dataset(tmp_path / "x.h5", collected(settings))
    assert "largest pixel" not in caplog.text


# --- resize and crop -------------------------------------------------------------------------------------------------

SIZES = [(37, 53), (53, 37), (64, 64), (500, 333), (333, 500), (7, 300), (301, 8), (15, 16), (224, 225), (1, 40)]
RESIZES = [(16, 16), (31, 28), (32, 17), (40, None), (None, 7), (9, 8)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"])
def test_resize_and_crop_give_the_pixels_of_torchvision(tmp_path, mode, interpolation):
    noise = np.random.default_rng(0)
    for size in SIZES:
        pixels = noise.integers(0, 256, (*size[::-1], 3), np.uint8)
        path = saved(tmp_path / f"{size[0]}x{size[1]}.png", Image.fromarray(pixels))
        for resize, crop in RESIZES:
            if resize is None and min(size) < crop:
                continue
            steps = [transforms.Resize(resize, InterpolationMode(interpolation))] if resize else []
            steps += [transforms.CenterCrop(crop)] if crop else []
            with Image.open(path) as image:
                expected = np.asarray(transforms.Compose(steps)(image.convert(mode)))
            decoded_pixels = decoded(path, mode, resize=resize, crop=crop, interpolation=interpolation)
            np.testing.assert_array_equal(
                decoded_pixels.squeeze() if mode == "L" else decoded_pixels, expected.squeeze()
            )


@pytest.mark.slow
def test_photographs_of_odd_sizes_have_the_pixels_of_torchvision(tmp_path):
    noise = np.random.default_rng(0)
    prepare = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(56)])
    with tarfile.open(shared("imagenet20.tar")) as archive:
        members = [member for member in archive if member.name.endswith(".JPEG")][::20]
        for member in members:
            with Image.open(archive.extractfile(member)) as photograph:
                width, height = noise.integers(70, 225, 2)
                path = saved(tmp_path / "x.png", photograph.convert("RGB").crop((0, 0, width, height)))
            with Image.open(path) as image:
                expected = np.asarray(prepare(image))
            np.testing.assert_array_equal(decoded(path, resize=64, crop=56), expected)
    assert len(members) == 100
