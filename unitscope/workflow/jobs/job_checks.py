"""What is said of single jobs of a study: why one cannot run here, by which settings it is known, what to lower."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from unitscope.config.resolve import Study, with_batch
from unitscope.data.image_files import IMAGE_SUFFIXES
from unitscope.data.label_table import label_files
from unitscope.errors import UserError
from unitscope.storage.contents import Contents
from unitscope.storage.records import canonical_json
from unitscope.workflow.jobs.job_files import network_of
from unitscope.workflow.ledger import SOURCES, not_here, source_or_recorded
from unitscope.workflow.study import load_study

NOTHING_DELETED = "Correct the path, or mount its disk, and give the same command again. Nothing has been deleted."
BATCHES = {
    "checkpoint": "training",
    **dict.fromkeys(["activations", "moments"], "activations"),
    **dict.fromkeys(["images", "images_block", "substitute_images", "scale"], "images"),
    **dict.fromkeys(["ablation", "joint", "replacement", "cumulative", "cumulative_together", "gradients"], "ablation"),
}
"""Which setting the memory of a rule's jobs grows with, where one does."""
NO_SETTINGS = ("code", "network_entry", "source", "scratch", "keep", "folder", "analyses", "config")
"""Params that are no settings of a job: they follow from the code, the raw data, or the rest of the study."""


class JobChecks:
    """Looks at jobs of a study.

    Args:
        study: The study.
        root: The project's folder.
        notify: Is given what a person should know.
        error: Raised, with the message, where raw data cannot be read.
    """

    def __init__(
        self, study: Study, root: Path, notify: Callable[[str], None], error: type[Exception] = UserError
    ) -> None:
        self._study, self._root, self._notify, self._error = study, root, notify, error
        self._raw_data = cache(self._read_and_notify)
        self._described_by = cache(self._study_of)

    # --- raw data ----------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> tuple[str, bool]:
        """Return the digest of the files that a data set is read from, or was, and whether they are here.

        Raises:
            Exception: They cannot be read.
        """
        settings = self._study.datasets[name]
        path = getattr(settings, "path", None)
        if path is None:
            return "", True
        suffixes = IMAGE_SUFFIXES if settings.source == "image_folder" else ()
        try:
            artifact, labels = f"data/datasets/{name}.h5", label_files(settings)
            return source_or_recorded(Path(path), artifact, Contents(SOURCES), suffixes, labels)
        except UserError as error:
            raise self._error(f"datasets.{name}.path: {error}") from None

    def _read_and_notify(self, name: str) -> tuple[str, bool]:
        digest, here = self._read(name)
        if digest and not here:
            self._notify(not_here(name, getattr(self._study.datasets[name], "path", "")))
        return digest, here

    def source(self, wildcards: Any) -> str:
        """Return a digest of the content of the files that a data set is read from, as it was when the run began."""
        return self._raw_data(wildcards.dataset)[0]

    def source_now(self, job: Any) -> str:
        """Return the same, as it is when a job has ended; an empty text for a job that reads no raw data."""
        return self._read(job.wildcards.dataset)[0] if job.rule.name == "dataset" else ""

    # --- before and after --------------------------------------------------------------------------------------------

    def refusal(self, job: Any) -> str:
        """Return why a job cannot be executed here: before it takes away what it would write again."""
        name = self._read_by(job)
        if name and not self._raw_data(name)[1]:
            path = getattr(self._study.datasets[name], "path", "")
            return f"datasets.{name}.path: there is nothing at {path}, which {job.output[0]} needs. {NOTHING_DELETED}"
        weights = (network_of(self._study, job.wildcards)["weights"] or {}) if job.rule.name == "checkpoint" else {}
        return self._refusal_of_weights(job, weights) if "file" in weights else ""

    def _read_by(self, job: Any) -> str | None:
        """Return the data set whose raw data a job reads."""
        if job.rule.name == "dataset":
            return str(job.wildcards.dataset)
        # An index holds the paths of images alone; the layers of a network need no image.
        reads = bool(job.input.get("dataset")) and job.rule.name != "taps"
        name = network_of(self._study, job.wildcards)["dataset"] if reads else None
        return name if name and getattr(self._study.datasets[name], "store", "") == "index" else None

    def _refusal_of_weights(self, job: Any, weights: dict[str, str]) -> str:
        sha256 = Contents(SOURCES).sha256(weights["file"])
        where = f"networks.{job.wildcards.network}.weights"
        if not sha256:
            return f"{where}.file: there is no file {weights['file']}, which {job.output[0]} needs. {NOTHING_DELETED}"
        if sha256 != weights["sha256"]:
            return (
                f"{where}.sha256 of {weights['file']} is {weights['sha256']}, but the file has {sha256}. If the file "
                "is the one that you mean, write that into the config. Nothing has been deleted."
            )
        return ""

    def to_lower(self, job: Any) -> str:
        """Return the sentence that names the setting to lower where a job runs out of memory."""
        section, layer = BATCHES.get(job.rule.name), job.wildcards.get("layer")
        if section is None:
            return ""
        if section == "training":
            # A network with given weights has none.
            training = network_of(self._study, job.wildcards)["training"]
            entry = self._study.network_entries[job.wildcards.network]
            return f"Lower networks.{entry}.training.batch ({training['batch']} now)." if training else ""
        written = self._study.experiments[job.wildcards.experiment][section]
        where = f"experiments.{self._study.entries[job.wildcards.experiment]}"
        batch = with_batch(written, layer)["batch"]
        if batch == 1:
            return f"Its batch is 1 already: take fewer {'images' if section == 'ablation' else 'units'} in {where}."
        now = f"Lower {where}.{section}.batch ({batch} now)"
        if section == "activations" or layer is None:
            return f"{now}."
        # The other layers keep theirs, and what they have computed.
        fallback = {"*": batch} if isinstance(written["batch"], int) else {}
        return f"{now}, for this layer alone by {canonical_json(fallback | {layer: batch // 2})}."

    # --- other configs -----------------------------------------------------------------------------------------------

    def settings(self, job: Any) -> dict[str, Any]:
        """Return the settings of a job, by which what it writes is told from what another config writes there."""
        params = {name: value for name, value in job.params._allitems() if name not in NO_SETTINGS}
        settings = {
            name: json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value
            for name, value in params.items()
        }
        if name := job.wildcards.get("experiment"):
            # Tables and figures read them all. Which analyses are asked for makes no difference.
            experiment = self._study.experiments[name]
            lists = {key: list(experiment[key]) for key in ("layers", "methods")}
            settings |= {"network": experiment["network"], **lists}
        return settings

    def _study_of(self, path: str) -> Study | None:
        """Return the study of another config; None where it is none."""
        try:
            return load_study(self._root, Path(path))
        except UserError:
            return None

    def is_equal_today(self, job: Any, path: str) -> bool:
        """Return whether another config describes a job's data set, network or experiment as this one does."""
        names = [job.wildcards.get(kind) for kind in ("dataset", "network", "experiment")]
        other = self._described_by(path)
        return other is not None and any(names) and _described(self._study, *names) == _described(other, *names)


def _described(study: Study, dataset: str | None, network: str | None, experiment: str | None) -> tuple[Any, ...]:
    """Return what a study says of a data set, a network or an experiment, whichever analyses it asks for."""
    settings = study.experiments.get(experiment or "", {})
    without_analyses = {key: value for key, value in settings.items() if key != "analyses"}
    network = without_analyses.get("network", network)
    return study.device, study.datasets.get(dataset or ""), study.networks.get(network or ""), without_analyses
