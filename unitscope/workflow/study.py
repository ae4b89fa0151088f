"""The study of a config in a project's folder: checked, completed, and with the layers that its patterns stand for."""

import sys
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from unitscope.config.config_files import ConfigError, read_all
from unitscope.config.resolve import Study, resolve
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.errors import UserError
from unitscope.workflow.known_layers import network_layers, refuse_wrong_targets
from unitscope.workflow.ledger import Ledger


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
        available = network_layers(root, settings, dataset)
        assert available is not None
        return list(available.units)

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
    for experiment, settings in study.experiments.items():
        network = study.networks[settings["network"]]
        try:
            available = network_layers(root, network, study.datasets.get(network["dataset"]), with_data=False)
        except UserError:
            # Of a network that cannot be made the job tells that makes it.
            continue
        if available is not None:
            where = f"experiments.{study.entries[experiment]}.layers"
            refuse_wrong_targets(settings["layers"], available, network["model"], where)


def checked(root: Path, *paths: Path) -> Study:
    """Return the study that a config describes, once its layers and the files that it names have been looked at.

    Args:
        root: The project's folder.
        paths: The config, and others that are laid over it.

    Raises:
        UserError: What is wrong, with the name of the config.
    """
    study = load_study(root, *paths)
    try:
        refuse_missing_files(study)
        refuse_missing_data(study)
    except UserError as error:
        raise UserError(f"{' and '.join(map(str, paths))}: {error}") from None
    return study


def refuse_missing_files(study: Study) -> None:
    """Refuse a study that names files of a network which are not there.

    Snakemake would take what is made from a missing file for a source file.

    Raises:
        UserError: Which file.
    """
    for name, network in study.networks.items():
        if lost := [file for file in network["files"] if not Path(file).is_file()]:
            raise UserError(f"networks.{name}.files: {lost[0]!r} is no file. Correct the path, or leave it out.")


def refuse_missing_data(study: Study) -> None:
    """Refuse a study whose raw data are neither here nor were here when the data set was written.

    Raises:
        UserError: Which path.
    """
    runs = Ledger()
    for name, settings in study.datasets.items():
        artifact = f"data/datasets/{name}.h5"
        path = getattr(settings, "path", None)
        if path and not Path(path).exists() and not Path(artifact).exists() and not runs.runs_of(artifact):
            where = f"datasets.{name}.path"
            raise UserError(f"{where}: no such file or folder: {path}. Correct the path, or mount its disk.")


def contents(study: Study) -> str:
    """Return in one line what a study holds."""
    experiments = [
        f"{name}: {_count(settings['layers'], 'layer')}, {_count(settings['methods'], 'method')}"
        for name, settings in study.experiments.items()
    ]
    more = "; ..." if len(experiments) > 3 else ""
    return (
        f"{_count(study.datasets, 'data set')}, {_count(study.networks, 'network')}, "
        f"{_count(study.experiments, 'experiment')} ({'; '.join(experiments[:3])}{more})"
    )


def _count(items: Sized, name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"
