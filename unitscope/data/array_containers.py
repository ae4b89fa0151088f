"""Files of named arrays, .npz or HDF5, opened without running or unpickling anything that they hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unitscope.errors import UserError
from unitscope.storage.hdf5 import ReadFile, external_item
from unitscope.storage.walking import home_hint


def array_names(path: Path) -> dict[str, Any]:
    """Return the names of the arrays in a file, each with a key that is the same for names of the same array."""

    def names(file: Any) -> dict[str, Any]:
        return _linked(file) if isinstance(file, h5py.File) else {name: name for name in file.files}

    return dict(_opened(path, names))


def _linked(file: h5py.File) -> dict[str, Any]:
    """Return the paths of all arrays in an HDF5 file, each with its address, through hard and soft links.

    A path goes through a group at most once, and by at most one link beside the first that leads to a group: links that
    branch again and again would make more paths than can be counted.
    """
    first: dict[Any, tuple[Any, str]] = {_address(file): (None, "")}
    addresses: dict[str, Any] = {}
    waiting: list[tuple[h5py.Group, str, tuple[Any, ...], bool]] = [(file, "", (_address(file),), False)]
    while waiting:
        group, prefix, above, is_aliased = waiting.pop()
        for name in sorted(group, reverse=True):
            # None where a soft link leads nowhere.
            item = group.get(name)
            if isinstance(item, h5py.Dataset):
                addresses[f"{prefix}{name}"] = _address(item)
            elif isinstance(item, h5py.Group) and (address := _address(item)) not in above:
                link = above[-1], name
                is_alias = first.setdefault(address, link) != link
                if not (is_alias and is_aliased):
                    waiting.append((item, f"{prefix}{name}/", (*above, address), is_alias or is_aliased))
    return {name: addresses[name] for name in sorted(addresses, key=lambda name: name.split("/"))}


def _address(item: Any) -> Any:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def read_named(path: Path, names_by_key: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return arrays by what they are called in `names_by_key`."""

    def array(item: Any, name: str) -> np.ndarray:
        if isinstance(item, h5py.Dataset) and (problem := _problem_of_hdf5(item)):
            raise UserError(f"{path}: {name} {problem}")
        return np.asarray(item[()])

    return dict(_opened(path, lambda file: {key: array(file[name], name) for key, name in names_by_key.items()}))


def _problem_of_hdf5(item: h5py.Dataset) -> str:
    """Return why an array in an HDF5 file cannot be read as it was meant; empty where it can."""
    if "MATLAB_class" in item.attrs and item.ndim > 2:
        return (
            "was saved by MATLAB, in whose files the axes are in reverse order, so that height and width would be "
            "swapped. Read it in Python, restore the order by numpy.transpose, and save it by np.savez."
        )
    filters = item.id.get_create_plist()
    for code, _, _, name in map(filters.get_filter, range(filters.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            shown = f" {name.decode(errors='replace')}" if name else ""
            return (
                f"is compressed by the filter{shown} ({code}), which h5py lacks here. Save it with compression='gzip'."
            )
    return ""


def _opened(path: Path, function: Any) -> Any:
    """Return a function's value of an open file of arrays."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise UserError(f"datasets.NAME.path is {path}, a folder. Folders of images are read by source: image_folder.")
    if not path.exists():
        raise UserError(f"{path} does not exist; datasets.NAME.path has to name an .npz or .h5 file.{home_hint(path)}")
    if not path.is_file():
        raise UserError(f"{path} is no regular file. Save the arrays images and labels as .npz or .h5.")
    if suffix not in (".npz", ".h5", ".hdf5"):
        more = {
            ".npy": " An .npy file holds one array: save images and labels together by np.savez.",
            **dict.fromkeys((".zip", ".tar", ".tgz"), " Unpack it; images are read by source: image_folder."),
            **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth"), " Pickled files are never loaded, as that runs code."),
        }.get(suffix, "")
        raise UserError(f"{path} is neither .npz nor .h5.{more} Save the arrays images and labels as .npz or .h5.")
    try:
        if suffix == ".npz":
            with open(path, "rb") as raw:
                if raw.read(4) != b"PK\x03\x04":
                    raise UserError(
                        f"{path} is not an .npz file, it may be cut off or damaged, or another format. Write it by "
                        "np.savez."
                    )
                raw.seek(0)
                with np.load(raw, allow_pickle=False) as file:
                    return function(file)
        with ReadFile(path) as read, h5py.File(read, "r") as file:
            if elsewhere := external_item(file):
                raise UserError(f"{path}: {elsewhere} lies in another file. Copy it into this one.")
            return function(file)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{path} does not fit into memory ({error}). Save fewer or smaller images, or save them as files, of which "
            "source: image_folder with store: index keeps none in memory."
        ) from error
    except Exception as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path} holds Python objects, which are never loaded, as that runs code. Save arrays of numbers, and "
                "names as text: np.array(names, dtype=str)."
            ) from error
        # numpy, zipfile and h5py raise whatever they come upon in a damaged file.
        raise UserError(f"{path} cannot be read, it may be cut off or damaged ({error}).") from error
