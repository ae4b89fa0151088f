"""The layers that a network of a config has, remembered from one call to the next: finding them takes PyTorch.

A list is kept under a digest of all that decides what the network is made of: its settings, the shape of an image, the
number of classes, the code, the files that a function of the user's reads, and the versions of packages.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unitscope.data.dataset_settings import DatasetSettings
from unitscope.data.outlines import ALWAYS, outline_of_stored, outline_with_data, outline_without_data
from unitscope.errors import UserError
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.settings import as_mapping
from unitscope.storage.contents import Contents, append_lines, read_lines, settled, signature
from unitscope.storage.records import canonical_json
from unitscope.workflow.ledger import versions
from unitscope.workflow.provenance import code_digest, user_code_digest

REMEMBERED = Path(".snakemake/unitscope/layers")
"""File, below the folder that the workflow runs in, that keeps the lists."""
OUTLINES = Path(".snakemake/unitscope/outlines")
"""File that keeps the image shape and the number of classes of stored data sets: reading one takes h5py."""
DATASETS = Path("data/datasets")
IDLE = ("dataset", "training", "seed", "normalization")
"""Settings of a network that decide nothing about its layers."""


@dataclass(frozen=True)
class Layers:
    """The layers of a network.

    Attributes:
        units: Number of units of each, by name, in the network's order.
        left_out: Why other modules cannot be tapped, by name.
    """

    units: dict[str, int]
    left_out: dict[str, str]


def network_layers(
    root: Path, network: Mapping[str, Any], dataset: DatasetSettings | None, with_data: bool = True
) -> Layers | None:
    """Return the layers that a network of the config will have.

    Args:
        root: The project's folder.
        network: Settings of the network.
        dataset: Settings of its data set; None where it has none.
        with_data: Whether an image may be read where the settings do not say how large it is.

    Returns:
        The layers; None where they depend on images that may not be read.

    Raises:
        UserError: The architecture or the data set is not there, or they do not fit together.
    """
    stored = root / DATASETS / f"{network['dataset']}.h5"
    shape: tuple[Any, int] | None = (network["input"], 0)
    if dataset is not None:
        shape = _outline(dataset, stored)
        if shape is None and with_data:
            shape = outline_with_data(dataset)
    if shape is None:
        return None
    key = _key(root, network, shape)
    for row in read_lines(REMEMBERED):
        if len(row) == 3 and row[0] == key:
            return Layers(row[1], row[2])
    # Loaded where it is asked for: PyTorch takes seconds.
    from unitscope.workflow.planning import probe_before_training

    probe = probe_before_training(network, dataset, stored)
    layers = Layers({layer.name: layer.units for layer in probe.layers}, probe.left_out)
    append_lines(REMEMBERED, [[key, layers.units, layers.left_out]])
    return layers


def _outline(dataset: DatasetSettings, stored: Path) -> tuple[list[int], int] | None:
    """Return the shape of an image and the number of classes as far as no image has to be read; else None."""
    if dataset.source in ALWAYS or not stored.exists():
        return outline_without_data(dataset)
    stat = stored.stat()
    key = [str(stored), list(signature(stat)), canonical_json(as_mapping(DatasetSettings, dataset))]
    for row in read_lines(OUTLINES):
        if len(row) == 2 and row[0] == key:
            outline = (row[1][0], row[1][1]) if row[1] else None
            break
    else:
        outline = outline_of_stored(stored, dataset)
        if settled(stat.st_ctime_ns):
            append_lines(OUTLINES, [[key, outline]])
    return outline or outline_without_data(dataset)


def refuse_wrong_targets(layers: Mapping[str, Any], available: Layers, model: str, where: str) -> None:
    """Refuse layers and units that a network does not have.

    Args:
        layers: Target units by layer, as a complete study has them.
        available: The network's layers.
        model: Name of the architecture.
        where: Key of the config that names them.

    Raises:
        UserError: Which, and what there is.
    """
    refuse_unknown_layers(layers, available.units, model, where, available.left_out)
    for layer, units in layers.items():
        if isinstance(units, list) and (wrong := [unit for unit in units if unit >= available.units[layer]]):
            raise UserError(
                f"{where}: unit {wrong[0]} of {layer} is asked for, which has the units 0 to "
                f"{available.units[layer] - 1}."
            )


def _key(root: Path, network: Mapping[str, Any], shape: tuple[Any, int]) -> str:
    user_code = ""
    if network["source"] == "python":
        contents = Contents(None)
        files = [contents.sha256(str(root / file)) for file in network["files"]]
        user_code = user_code_digest(network["model"], root) + canonical_json(files)
    settings = {name: value for name, value in network.items() if name not in IDLE}
    components = [canonical_json(settings), canonical_json(shape), _code(), user_code, versions()]
    return hashlib.sha256("\n".join(components).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """Return the digest of the code, of one moment for all networks of a config."""
    # This module imports all that decides what layers a network has.
    return code_digest(Path(__file__), Path(__file__).parents[2])
