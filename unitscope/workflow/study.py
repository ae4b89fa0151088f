"""The study of a config in a project's folder: checked, completed, and with the layers that its patterns stand for."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unitscope.config.config_files import ConfigError, read_all
from unitscope.config.resolve import Study, resolve

DATASETS = Path("data/datasets")


def load_study(root: Path, *paths: Path, layers: bool = True) -> Study:
    """Return the study that a config describes.

    Args:
        root: The project's folder.
        paths: The config, and others that are laid over it, as Snakemake's --configfile takes them.
        layers: Whether patterns of layers are replaced by the network's layers, which takes seconds.

    Raises:
        UserError: A config cannot be read, or they do not describe a study.
    """
    return complete(read_all(paths), " and ".join(map(str, paths)), root, layers, paths)


def complete(
    config: Mapping[str, Any], name: str, root: Path, layers: bool = True, paths: Sequence[Path] = ()
) -> Study:
    """Return the study that a config describes.

    Args:
        config: The config.
        name: Its name for messages.
        root: The project's folder.
        layers: Whether patterns of layers are replaced by the network's layers.
        paths: The files that it was read from, for lines in messages.

    Raises:
        UserError: It does not describe a study.
    """
    # A network of the user's own is a module in the project's folder.
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))

    def layers_of(network: str, settings: Mapping[str, Any], dataset: Mapping[str, Any] | None) -> Sequence[str]:
        # Loaded where a pattern asks for it: PyTorch takes seconds.
        from unitscope.workflow.planning import layers_before_training

        stored = root / DATASETS / f"{settings['dataset']}.h5"
        return [tap.layer for tap in layers_before_training(settings, dataset, stored)[0]]

    try:
        return resolve(config, name, layers_of if layers else None)
    except ConfigError as error:
        raise error.located(paths) from None
