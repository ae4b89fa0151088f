"""The final files of a study."""

from unitscope.config.registry import ANALYSES, layer_figures, overviews
from unitscope.config.resolve import Study


def final_files(study: Study, name: str) -> list[str]:
    """Return the final files of an experiment."""
    experiment = study.experiments[name]
    folder = f"results/{name}"
    files = [
        f"{folder}/units.csv",
        f"{folder}/layers.csv",
        f"{folder}/atlas.html",
        f"{folder}.metrics.json",
        f"{folder}.depth.csv",
    ]
    files += [f"{folder}/claims.csv"] if study.has_claims(name) else []
    images = study.networks[experiment["network"]]["dataset"]
    files += [
        f"{folder}/figures/{figure}.png" for figure in [*layer_figures(experiment), *overviews(experiment, images)]
    ]
    tables = [table for analysis in study.analyses(name) for table in ANALYSES[analysis].tables(experiment)]
    return files + [f"{folder}/{table}" for table in tables]
