"""The study of a config in a project's folder: checked, completed, and with the layers that its patterns stand for."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unitscope.config.config_files import ConfigError, read_all
from unitscope.config.resolve import Study, resolve
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.errors import UserError
from unitscope.workflow.known_layers import known_layers, refuse_wrong_targets


def load_study(root: Path, *paths: Path, layers: bool = True, check: bool = True) -> Study:
    """Return the study that a config describes.

    Args:
        root: The project's folder.
        paths: The config, and others that are laid over it, as Snakemake's --configfile takes them.
        layers: Whether layers are looked at, which takes seconds the first time: patterns are replaced by what they
            stand for.
        check: Whether what a network does not have is refused.

    Raises:
        UserError: A config cannot be read, or they do not describe a study.
    """
    name = " and ".join(map(str, paths))
    study = complete(read_all(paths), name, root, layers, paths)
    if layers and check:
        try:
            check_layers(study, root)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
    return study


def complete(
    config: Mapping[str, Any],
    name: str,
    root: Path,
    layers: bool = True,
    paths: Sequence[Path] = (),
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

    def layers_of(settings: Mapping[str, Any], dataset: DatasetSettings | None) -> Sequence[str]:
        found = known_layers(root, settings, dataset)
        assert found is not None
        return list(found.units)

    try:
        study = resolve(config, name, layers_of if layers else None)
    except ConfigError as error:
        raise error.located(paths) from None
    return study


def check_layers(study: Study, root: Path) -> None:
    """Refuse layers and units that a network does not have, as far as that is known without a look at images.

    Args:
        study: The study.
        root: The project's folder.

    Raises:
        UserError: Which layers or units, and what there is.
    """
    for experiment, chosen in study.experiments.items():
        network = study.networks[chosen["network"]]
        try:
            known = known_layers(root, network, study.datasets.get(network["dataset"]), with_data=False)
        except UserError:
            # Of a network that cannot be made the job tells that makes it.
            continue
        if known is not None:
            where = f"experiments.{study.entries[experiment]}.layers"
            refuse_wrong_targets(chosen["layers"], known, network["model"], where)
