"""Read files, one a line of the input (`READER PATH`), and say of each what came of it: "read", "refused" or "failed".

Its own program: what brings a reader's process down, as damaged files may do in libraries written in C, is then told
like any other failure.
"""

import json
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import h5py
from real_images import collected

from unitscope.data.datasets import open_dataset
from unitscope.data.decoding import Decoder
from unitscope.data.image_files import inside
from unitscope.data.moments_columns import MomentsTable
from unitscope.errors import UserError
from unitscope.networks.weight_files import read_program, read_weights
from unitscope.probing.opening import open_checkpoint
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.storage.records import read_json, sha256_of
from unitscope.workflow.study import load_study

ROOT = Path(__file__).parents[2]
MEMORY = 8 * 2**30
"""Bytes that reading may take: a file that claims to hold more than there is must not be believed."""


def config(path: Path) -> None:
    """Read a study."""
    load_study(ROOT, path)


def hdf5(path: Path) -> None:
    """Read all that an artifact holds."""
    with open_hdf5(path) as file:
        datasets: list[h5py.Dataset] = []
        file.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
        for item in [file, *datasets]:
            dict(item.attrs)
        for item in datasets:
            item[()]


def dataset(path: Path) -> None:
    """Read all images and labels of a data set."""
    with open_dataset(path) as opened:
        for split in ("train", "test"):
            assert len(opened.labels(split)) == opened.count(split)
            for batch in opened.batches(split, 7):
                assert batch.shape[3:] + batch.shape[1:3] == tuple(opened.shape)


def arrays(path: Path) -> None:
    """Read a data set that is an .npz or .h5 file of the user's."""
    collected({"source": "arrays", "path": str(path), "test_fraction": 0.5, "seed": 0})


def folder(path: Path) -> None:
    """Read a folder of images."""
    fitted = {"resize": 4, "crop": 4, "mode": "RGB"}
    images = collected(
        {"source": "image_folder", "path": str(path), "store": "index", "test_fraction": 0.5, "seed": 0, **fitted}
    )
    assert images.index
    images.index()


def image(path: Path) -> None:
    """Decode an image."""
    Decoder(path.parent, 4, 4, "RGB")([path.name])


def name(path: Path) -> None:
    """Look for a file below a folder by a name, which stands in a file."""
    root = path.parent / "below"
    target = inside(root, json.loads(path.read_text()))
    assert target.resolve().is_relative_to(root.resolve())


def table(path: Path) -> None:
    """Read a table."""
    columns = read_table(path, MomentsTable)
    assert len({len(column) for column in columns.values()}) <= 1


def record(path: Path) -> None:
    """Read a record."""
    read_json(path)


def checkpoint(path: Path) -> None:
    """Rebuild a network."""
    open_checkpoint(path)


def weights(path: Path) -> None:
    """Read a state dict, .pt or .safetensors."""
    read_weights(path, sha256_of(path))


def exported(path: Path) -> None:
    """Rebuild an exported network."""
    from unitscope.networks.exported import read_exported

    read_exported(read_program({"file": path, "sha256": sha256_of(path)}), (3, 8, 8))


READERS: dict[str, Callable[[Path], None]] = {
    reader.__name__: reader
    for reader in (
        *(config, hdf5, dataset, arrays, folder, image, name, table, record),
        *(checkpoint, weights, exported),
    )
}


def outcome(reader: str, path: Path) -> list[str]:
    """Return what came of reading a file, and the message."""
    try:
        READERS[reader](path)
    except UserError as error:
        return ["refused", str(error)]
    # A reader that ends the program, or runs out of stack, fails like any other.
    except BaseException:
        return ["failed", traceback.format_exc()]
    return ["read", ""]


def main() -> None:
    """Answer each line by one line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # What libraries print is no answer.
    protocol, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        reader, path = json.loads(line)
        print(json.dumps(outcome(reader, Path(path))), file=protocol, flush=True)


if __name__ == "__main__":
    main()
