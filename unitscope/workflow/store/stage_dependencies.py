"""The complete study of a config, as DVC follows it: settings and code of each data set, network and experiment.

These small files are what DVC's stages depend on. They change when a setting, a default or a line of code changes that
the stage's results depend on, and not when a comment or somebody else's setting does.
"""

import os
import re
from pathlib import Path
from typing import Any

from unitscope.config.config_files import read
from unitscope.config.resolve import Study
from unitscope.data.dataset_settings import DatasetSettings
from unitscope.data.image_files import IMAGE_SUFFIXES
from unitscope.data.label_table import label_files
from unitscope.errors import UserError
from unitscope.settings import as_mapping
from unitscope.storage.contents import Contents
from unitscope.storage.records import write_json
from unitscope.workflow.ledger import CONTENTS, SOURCES, locked_rows, not_here, source_or_recorded
from unitscope.workflow.provenance import code_digest, modules_digest, rules_digest, script_named, user_code_digest
from unitscope.workflow.study import load_study

STUDY = Path("data/study")
"""Folder of the files for config.yaml."""
SCRIPTS = {"datasets": ["dataset"], "networks": ["checkpoint"]}
"""Scripts whose code belongs to a section; those of all other rules belong to the experiments."""


def write_stage_dependencies(root: Path, config: Path, folder: Path, whole: bool = False) -> list[str]:
    """Resolve a config and write a file for each thing that it names.

    Args:
        root: The project's folder.
        config: The config.
        folder: Where the files go.
        whole: Whether one stage follows the config as a whole, so that entries may stand for several trainings.

    Returns:
        A line for each data set whose raw data are not here.

    Raises:
        UserError: The config describes no study, or none that DVC's stages can follow.
    """
    study = load_study(root, config)
    if not whole:
        check(read(config), study, str(config))
    if "DVC_STAGE" in os.environ:
        show_damage()
    networks = rules_digest([root / "rules/data.smk"])
    flow = rules_digest([root / "Snakefile", *(root / "rules").glob("*.smk")])
    # What the rules ask for inputs and params.
    jobs = modules_digest(root / "unitscope/workflow/jobs", root)
    analyses = sorted(scripts_of_rules(root) - {script for scripts in SCRIPTS.values() for script in scripts})
    absent = []
    for section in ("datasets", "networks", "experiments"):
        code: dict[str, Any] = {script: digest(script, root) for script in SCRIPTS.get(section, analyses)}
        code |= {"rules": flow, "jobs": jobs} if section == "experiments" else {"rules": networks}
        for name, settings in getattr(study, section).items():
            network = study.networks[settings["network"]] if section == "experiments" else settings
            written = as_mapping(DatasetSettings, settings) if section == "datasets" else settings
            content = {"device": study.device, "settings": written, "code": code}
            if section != "datasets" and network["source"] == "python":
                content["code"] = {**code, "own": user_code(network, root)}
            if section == "experiments":
                content["compared"] = {other: claim_dependencies(study, other, root) for other in compared(settings)}
            if section == "datasets" and hasattr(settings, "path"):
                artifact = f"data/datasets/{name}.h5"
                suffixes = IMAGE_SUFFIXES if settings.source == "image_folder" else ()
                content["source"], here = source_or_recorded(
                    Path(settings.path), artifact, Contents(SOURCES), suffixes, label_files(settings)
                )
                if content["source"] and not here:
                    absent.append(not_here(name, settings.path))
            write_json(folder / section / f"{name}.json", content)
        # What the config no longer names is part of no study.
        for path in (folder / section).glob("*.json"):
            if path.name.removesuffix(".json") not in getattr(study, section):
                path.unlink()
    return absent


def scripts_of_rules(root: Path) -> set[str]:
    """Return the scripts that rules call: each names the digest of its code."""
    texts = (path.read_text(encoding="utf-8") for path in (root / "rules").glob("*.smk"))
    return {script for text in texts for script in re.findall(r"\bcode(?:_and_network)?\(\"(\w+)\"\)", text)}


def compared(experiment: dict[str, Any]) -> list[str]:
    """Return the experiments whose tables an experiment's claims and nulls are made from, beside its own."""
    other_experiments = [other for claim in experiment["claims"].values() for other in claim["experiments"]]
    return sorted({*other_experiments, experiment["reliability"]["untrained"]} - {None})


def claim_dependencies(study: Study, experiment: str, root: Path) -> dict[str, Any]:
    """Return the settings that an experiment's tables follow from, and the code of its data set and its network."""
    settings = study.experiments[experiment]
    network = study.networks[settings["network"]]
    code: dict[str, Any] = {script: digest(script, root) for scripts in SCRIPTS.values() for script in scripts}
    if network["source"] == "python":
        code["own"] = user_code(network, root)
    dataset = as_mapping(DatasetSettings, study.datasets[network["dataset"]])
    return {"settings": settings, "network": network, "dataset": dataset, "code": code}


def user_code(network: dict[str, Any], root: Path) -> list[str]:
    """Return digests of the user's code that makes a network, and of the files that it reads."""
    contents = Contents(None)
    return [user_code_digest(network["model"], root), *(contents.sha256(file) for file in network["files"])]


def show_damage() -> None:
    """Touch artifacts whose bytes are not those that made.lock vouches for.

    DVC looks at size, modification time and inode alone, and takes a file with a byte that has changed under them for
    the one that it has recorded. The stage that the file belongs to then brings it back.
    """
    contents = Contents(CONTENTS)
    for path, row in locked_rows().items():
        sha256 = contents.sha256(path)
        if sha256 and sha256 != row["sha256"]:
            os.utime(path)
    contents.save()


def check(config: dict[str, Any], study: Study, name: str) -> None:
    """Refuse a config whose entries the stages of dvc.yaml, one for each, cannot follow."""
    for section in ("networks", "experiments"):
        for entry in config[section]:
            if entry not in getattr(study, section):
                raise UserError(
                    f"{name}: {section}.{entry} stands for several trainings or epochs, and DVC's stages follow the "
                    "entries one by one. Write an entry for each of them, or use Snakemake alone."
                )
    for entry, settings in study.networks.items():
        if settings["dataset"] is None:
            raise UserError(
                f"{name}: networks.{entry} has no dataset, which DVC's stages ask for. Use Snakemake alone for it."
            )


def digest(script: str, root: Path) -> str:
    """Return the digest of a script and of what it imports."""
    return code_digest(script_named(script, root), root)
