"""Files that nobody wrote by hand: whatever is in them, a reader reads or refuses, and runs nothing.

`make fuzz` tries a thousand of each reader, `make test` some. What was found this way is kept as examples here, and as
tests of what was at fault.
"""

import io
import json
import os
import pickle
import select
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import atlas_by_hand
import h5py
import numpy as np
import pytest
import torch
import yaml
from config_texts import TEXTS, check_text
from damage import HOSTILE, changed, damaged, names, values
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from projects import ROOT, SMALL
from torch import nn

from unitscope.data.datasets import Collection, write_dataset
from unitscope.data.moments_columns import MomentsTable
from unitscope.networks.building import build
from unitscope.networks.checkpoints import save_checkpoint
from unitscope.storage.csv_tables import read_table, write_table
from unitscope.storage.hdf5 import create_hdf5
from unitscope.storage.records import write_json

SECONDS = 120
"""Within which a file has to be read or refused."""


class Readers:
    """tests/support/reading.py, which reads in a process of its own.

    Attributes:
        folder: Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/support/reading.py")],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def read(self, reader: str, file: str, content: bytes | None = None) -> str:
        """Let a reader read a file, with this content; return what came of it, and fail where it failed."""
        path = self.folder / file
        if content is not None:
            path.write_bytes(content)
        print(json.dumps([reader, str(path)]), file=self._process.stdin, flush=True)
        ready, _, _ = select.select([self._process.stdout], [], [], SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.end()
            code = self._process.returncode
            self._start()
            raise AssertionError(f"{reader} ended its process ({code}, or was stuck); the file is {path}")
        outcome, message = json.loads(line)
        assert outcome != "failed", message
        assert message.strip() or outcome == "read"
        return outcome

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        with self._process:
            pass


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    process = Readers(tmp_path_factory.mktemp("readers"))
    (process.folder / "below").mkdir()
    (process.folder / "below/inner").mkdir()
    (process.folder / "below/out").symlink_to("/etc")
    (process.folder / "below/loop").symlink_to("loop")
    yield process
    process.end()


# --- whole files -----------------------------------------------------------------------------------------------------


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()


def describe(module: nn.Module) -> dict:
    return {
        **{"source": "built_in", "model": "mlp", "options": {"widths": [4]}, "head": None, "input": [1, 4, 4]},
        **{"mean": [0.5], "std": [0.25], "classes": ["a", "b"]},
    }


def write_files(folder: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (9, 4, 4, 3), np.uint8)
    labels = np.arange(9) % 2
    write_dataset(
        folder / "dataset.h5",
        Collection(
            labels, (np.arange(9) > 5).astype(np.uint8), ["a", "b"], images.__getitem__, lambda: {"source": "arrays"}
        ),
    )
    with create_hdf5(folder / "hdf5.h5", {"layer": "conv1", "settings": {"seeds": [0]}}) as out:
        group = out.create_group("layers/conv1")
        group.attrs["units"] = 3
        group["activations"] = random.random((9, 3), np.float32)
        group["names"] = np.array(["x", "y"], dtype=h5py.string_dtype())
        out.create_dataset("images", data=images, chunks=(2, 4, 4, 3), compression="gzip")
    with h5py.File(folder / "arrays.h5", "w") as file:
        file["images"], file["labels"] = images, labels
    np.savez_compressed(folder / "arrays.npz", images=images, labels=labels)
    picture = Image.fromarray(images.repeat(3, 1).repeat(3, 2)[0])
    for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"):
        picture.save(folder / f"image.{kind}")
    write_table(
        folder / "table.csv",
        {"layer": ["1", "b"], "unit": [0, 1], "mean": [0.5, float("nan")], "std": [0.0, 2.0]},
        MomentsTable,
    )
    write_json(folder / "record.json", {"test": {"loss": 0.5, "class_accuracy": [1.0, None]}, "code": "0" * 8})
    (folder / "config.yaml").write_text(yaml.safe_dump(SMALL))
    network = build(describe(nn.Module()), [1, 4, 4], 2)
    save_checkpoint(folder / "checkpoint.pt", network, describe(network))
    torch.save(network.state_dict(), folder / "weights.pt")
    from safetensors.torch import save_file

    save_file(network.state_dict(), folder / "weights.safetensors")
    images_axis = torch.export.Dim("images")
    program = torch.export.export(small_network(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: images_axis},))
    torch.export.save(program, folder / "exported.pt2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Return whole files by name; the reader is what stands before the dot."""
    folder = tmp_path_factory.mktemp("whole")
    write_files(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


FILES = (
    *("config.yaml", "table.csv", "record.json", "hdf5.h5", "dataset.h5", "arrays.h5", "arrays.npz"),
    *("checkpoint.pt", "weights.pt", "weights.safetensors", "exported.pt2"),
    *(f"image.{kind}" for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm")),
)


def test_intact_files_are_read(readers, whole):
    assert set(whole) == set(FILES)
    for name, content in whole.items():
        assert readers.read(name.partition(".")[0], name, content) == "read", name


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_empty_files(readers, file):
    assert readers.read(file.partition(".")[0], file, b"") == "refused"


@pytest.mark.parametrize("file", FILES)
def test_damaged_bytes(readers, whole, file):
    @given(damaged(whole[file]))
    def check(content):
        readers.read(file.partition(".")[0], file, content)

    check()


@given(config=changed(SMALL))
def test_mutated_configs(readers, config):
    readers.read("config", "config.yaml", yaml.safe_dump(config, allow_unicode=True).encode())


@given(rows=st.lists(st.tuples(names, st.integers(-(2**63), 2**63 - 1), st.floats(), st.floats()), max_size=3))
@example(rows=[("\r0", 0, float("inf"), -0.0)])
def test_arbitrary_tables_round_trip(readers, rows):
    path, columns = readers.folder / "table.csv", zip(*rows, strict=True) if rows else [[]] * 4
    table = dict(zip(MomentsTable.names(), columns, strict=True))
    write_table(path, table, MomentsTable)
    assert readers.read("table", "table.csv") == "read"
    for name, column in read_table(path, MomentsTable).items():
        np.testing.assert_array_equal(column, table[name])


@given(columns=st.dictionaries(names, st.lists(values.map(str), min_size=2, max_size=2), min_size=1, max_size=4))
@example(columns={"layer": ["1", "2"], "unit": ["99999999999999999999", "1"], "mean": ["0", "1"], "std": ["0", "1"]})
def test_tables_with_wrong_columns_are_refused(readers, columns):
    lines = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]
    assert readers.read("table", "table.csv", "\n".join(lines).encode()) == "refused"


@pytest.mark.parametrize("file", ["checkpoint.pt", "weights.pt"])
def test_mutated_state_dicts(readers, whole, file):
    saved = torch.load(io.BytesIO(whole[file]), weights_only=True)

    @given(changed(saved, st.sampled_from([*saved, "program"])))
    def check(content):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        readers.read(file.partition(".")[0], file, buffer.getvalue())

    check()


@pytest.mark.parametrize("kind", ["bytes", "json"])
def test_mutated_exported_programs(readers, whole, kind):
    entries = dict(records(whole["exported.pt2"]))
    described = [name for name in entries if name.endswith(".json")]

    def changed_entry(name):
        content = changed(json.loads(entries[name])).map(json.dumps) if kind == "json" else damaged(entries[name])
        return st.tuples(st.just(name), content)

    @given(st.sampled_from(described if kind == "json" else list(entries)).flatmap(changed_entry))
    def check(entry):
        name, content = entry
        content = content.encode() if kind == "json" else content
        readers.read("exported", "exported.pt2", archive({**entries, name: content}))

    check()


def records(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def archive(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in entries.items():
            file.writestr(f"archive/{name}", content)
    return buffer.getvalue()


ARRAYS = arrays.arrays(
    st.sampled_from(["u1", "i8", "f4", "f8", "?", "S3", "c8"]), arrays.array_shapes(min_dims=0, max_dims=4, max_side=10)
)


@st.composite
def rearranged(draw, content: bytes) -> bytes:
    """Draw an HDF5 file in which things have other types and shapes, are gone, or are links to elsewhere."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        for _ in range(draw(st.integers(1, 3))):
            object_names: list[str] = []
            file.visit(object_names.append)
            name = draw(st.sampled_from([*object_names, "images", "labels", "split", "paths"]))
            kind = draw(st.sampled_from(["array", "text", "group", "gone", "soft", "external", "attribute"]))
            if kind == "attribute":
                key = draw(st.sampled_from([*file.attrs, "shape", "resize", "crop", "mode", "root"]))
                file.attrs[key] = draw(st.one_of(ARRAYS, st.text(st.characters(codec="ascii", min_codepoint=1))))
                continue
            if name in file or file.get(name, getlink=True) is not None:
                del file[name]
            if kind == "array":
                file[name] = draw(ARRAYS)
            elif kind == "text":
                file[name] = np.array(
                    draw(st.lists(st.sampled_from(["a", "é", "../x", "/etc/passwd"]), min_size=1)), "O"
                )
            elif kind == "group":
                file.create_group(name)
            elif kind == "soft":
                file[name] = h5py.SoftLink(draw(st.sampled_from(["/images", "/nowhere", f"/{name}"])))
            elif kind == "external":
                file[name] = h5py.ExternalLink(draw(st.sampled_from(["secret.h5", "/nowhere.h5"])), "/images")
    return buffer.getvalue()


@pytest.mark.parametrize("file", ["dataset.h5", "arrays.h5", "hdf5.h5"])
def test_mutated_hdf5_files(readers, whole, file):
    @given(rearranged(whole[file]))
    def check(content):
        readers.read(file.partition(".")[0], file, content)

    check()


@pytest.mark.parametrize("kind", ["external link", "virtual", "external storage"])
@pytest.mark.parametrize("file", ["dataset.h5", "arrays.h5"])
def test_hdf5_links_to_other_files_are_refused(readers, whole, file, kind):
    (readers.folder / "secret.h5").write_bytes(whole["arrays.h5"])
    buffer = io.BytesIO(whole[file])
    with h5py.File(buffer, "r+") as opened:
        shape = opened["images"].shape
        del opened["images"]
        if kind == "external link":
            opened["images"] = h5py.ExternalLink("secret.h5", "/images")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, np.uint8)
            layout[:] = h5py.VirtualSource("secret.h5", "images", shape, np.uint8)
            opened.create_virtual_dataset("images", layout)
        else:
            opened.create_dataset("images", shape, np.uint8, external=[("secret.h5", 0, int(np.prod(shape)))])
    assert readers.read(file.partition(".")[0], file, buffer.getvalue()) == "refused"


# --- code in files ---------------------------------------------------------------------------------------------------

CANARY = "ran"


class Pickled:
    """What calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = (
    (os.system, f"touch {CANARY}"),
    (open, CANARY, "w"),
    (exec, f"open({CANARY!r}, 'w')"),
    (eval, f"open({CANARY!r}, 'w')"),
    (subprocess.check_call, ["touch", CANARY]),
    (torch.save, {}, CANARY),
    (np.save, CANARY, 0),
    (getattr, Path(CANARY), "touch"),
    (torch.hub.load_state_dict_from_url, f"file:{CANARY}"),
)
# Opcodes that no __reduce__ writes: INST, OBJ, GLOBAL and a BUILD.
WRITTEN = (
    b"(S'touch ran'\nios\nsystem\n.",
    b"(cos\nsystem\nS'touch ran'\no.",
    b"cposix\nsystem\n(S'touch ran'\ntR.",
    b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x0fopen('ran', 'w')\x85R.",
    b"ctorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\n(S'touch ran'\ntRtR.",
    b"ccollections\nOrderedDict\n)R(S'x'\ncos\nsystem\n(S'touch ran'\ntRsb.",
)

pickles = st.one_of(
    st.sampled_from(WRITTEN),
    st.builds(
        lambda call, around, protocol: pickle.dumps(around(Pickled(*call)), protocol),
        st.sampled_from(CALLS),
        st.sampled_from(
            [lambda x: x, lambda x: {"weight": x}, lambda x: {"state_dict": {"a": torch.zeros(1), "b": [x]}}]
        ),
        st.integers(0, 5),
    ),
)


@pytest.mark.parametrize("file", ["checkpoint.pt", "weights.pt", "zipped.pt", "exported.pt2"])
def test_pickles_run_no_code(readers, whole, file):
    canary = readers.folder / CANARY
    entries = records(whole["exported.pt2" if file == "exported.pt2" else "checkpoint.pt"])
    places = [*entries, "data/weights/model.pt", "data/constants/model.pt", "extra.pkl"]

    @given(pickles, st.sampled_from(places))
    def check(content, place):
        if file == "exported.pt2":
            reader, content = "exported", archive({**entries, place: content})
        elif file == "zipped.pt":
            reader, content = "checkpoint", archive({**entries, "data.pkl": content})
        else:
            reader = file.partition(".")[0]
        try:
            outcome = readers.read(reader, file, content)
            assert not canary.exists()
        finally:
            canary.unlink(missing_ok=True)
        # Elsewhere an archive's bytes are numbers or are not looked at, whatever they hold.
        assert outcome == "refused" or (file == "exported.pt2" and not place.endswith((".pt", ".pkl", ".json")))

    check()


# --- configs ---------------------------------------------------------------------------------------------------------


@given(text=TEXTS)
def test_arbitrary_text_is_a_valid_config_or_refused(tmp_path_factory, text):
    check_text(tmp_path_factory.getbasetemp(), text)


# --- names -----------------------------------------------------------------------------------------------------------


@given(name=st.one_of(names, st.lists(st.sampled_from(["..", ".", "inner", "out", "loop", "", "/"])).map("/".join)))
def test_names_cannot_escape_a_folder(readers, name):
    readers.read("name", "name.json", json.dumps(name).encode())


class Elements(HTMLParser):
    """Counts a page's elements and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))


@given(name=st.one_of(names, st.text(st.characters(exclude_categories=["Cs"]), max_size=12)))
def test_class_names_cannot_inject_markup(name):
    from unitscope.atlas import page as atlas_page

    def page(word: str) -> str:
        data, sheets, _ = atlas_by_hand.whole(layers={"hidden": 12}, classes=[*"012345678", word], constant=())
        claims = [{**claim, "text": word, "source": word} for claim in atlas_by_hand.CLAIMS]
        return atlas_page.page(data, sheets, "", claims)

    assert Elements(page(name)).elements == Elements(page("plain")).elements


@given(name=names)
def test_layer_and_method_names_cannot_inject_shell_code(name):
    """What Snakemake puts into a command, quoted as the rules do (`:q`), is one word to the shell."""
    from snakemake.utils import format as snakemake_format

    if "\x00" in name:
        return
    command = snakemake_format("printf %s {word:q}", word=name)
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout == name.encode()


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("place", ["datasets", "networks", "experiments", "layers", "methods"])
def test_hostile_names_are_refused_in_a_config(readers, word, place):
    config = json.loads(json.dumps(SMALL))
    if place in ("datasets", "networks", "experiments"):
        config[place][word] = next(iter(config[place].values()))
    elif place == "layers":
        config["experiments"]["small"]["layers"] = [word]
    else:
        config["experiments"]["small"]["methods"][word] = {"objective": "am"}
    assert readers.read("config", "config.yaml", yaml.safe_dump(config).encode()) == "refused"
