"""What the paper's page is made from: its experiments, the networks and data sets that it shows, the measured sizes."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from unitscope.config.registry import ANALYSES
from unitscope.config.resolve import Study, recipe_of
from unitscope.errors import UserError


def page_experiments(study: Study, benchmarked: Collection[str]) -> list[dict[str, Any]]:
    """Return the experiments whose claims the page shows, with the rules of whose jobs there may be benchmark files.

    Args:
        study: The study.
        benchmarked: Rules with a benchmark file per job of an experiment.
    """
    return [
        {
            **{
                "name": name,
                "entry": recipe_of(study, name),
                "dataset": study.networks[settings["network"]]["dataset"],
            },
            **{key: settings[key] for key in ("network", "claims", "readout")},
            **{key: list(settings[key]) for key in ("layers", "methods")},
            "rules": _measured(study, name, benchmarked),
        }
        for name, settings in study.experiments.items()
        if settings["claims"]
    ]


def _measured(study: Study, name: str, benchmarked: Collection[str]) -> list[str]:
    """Return the rules of an experiment; those of a block of units are among those of the images."""
    selected = study.analyses(name)
    others = {
        rule for analysis, definition in ANALYSES.items() if analysis not in selected for rule in definition.rules
    }
    return [rule for rule in benchmarked if rule not in others | {"images_block"}]


def compared_trainings(variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the networks that the page compares by the length of their training."""
    return sorted({one["network"] for one in variants if one["epochs"] is not None})


def shown_datasets(experiments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the data sets of the networks that the page shows."""
    return sorted({one["dataset"] for one in experiments} - {None})


def shown_layers(study: Study, figures: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """Return the experiment and the layers whose images Figure 2 shows; None where there is no such figure."""
    name = figures.get("fig2")
    return None if name is None else (name, study.experiments[name]["claims"]["C6"]["layers"])


def measured_sizes(path: str | None) -> list[str]:
    """Return the table of what jobs took at the full sizes, where the page shows that.

    Snakemake would take a page that is there for a source file, and leave it as it is.

    Args:
        path: The table; None where the page shows none.

    Raises:
        UserError: It is not there.
    """
    if path and not Path(path).is_file():
        raise UserError(
            f"reproduction.sizes is {path!r}, but there is no such file. It is the memory.csv of a study at the full "
            "sizes (such as paper/sizes.yaml); null shows none."
        )
    return [path] if path else []
