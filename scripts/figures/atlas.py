"""The atlas of an experiment: one page with every unit, its scores, its images and its substitutes."""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from plotly.offline import get_plotlyjs

from unitscope.atlas import content, page, page_claims, page_scores
from unitscope.atlas.album import Album, shown
from unitscope.claims import analysis_claims
from unitscope.claims.claims_columns import ClaimsTable
from unitscope.config.atlas_settings import AtlasSettings
from unitscope.data.datasets import open_dataset
from unitscope.figures.pictures import PER_SHEET
from unitscope.interventions.cumulative_columns import CurvesTable
from unitscope.maximization.responses import compared_in
from unitscope.runtime import console
from unitscope.scores.exemplars import Exemplars
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import open_hdf5
from unitscope.storage.records import read_json
from unitscope.tables.correlation_columns import LayersTable
from unitscope.tables.unit_columns import UnitsTable
from unitscope.workflow import program

try:
    from unitscope.paper.paper_claims import CLAIMS
except ModuleNotFoundError:
    # Only a study of the paper asks its claims.
    CLAIMS = {}


def parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    result = program.parser(__doc__)
    result.add_argument("--units", type=Path, required=True, help="units.csv of the experiment")
    result.add_argument("--layers", type=Path, required=True, help="layers.csv of the experiment")
    result.add_argument("--taps", type=Path, required=True, help="taps.json of the experiment")
    result.add_argument("--images", type=Path, nargs="*", default=[], help="images/{layer}.{method}.h5 ...")
    result.add_argument("--activations", type=Path, nargs="?", help="activations.h5; without it, no natural images")
    result.add_argument("--exemplars", type=Path, nargs="?", help="exemplars.h5 of the experiment")
    result.add_argument("--dataset", type=Path, nargs="?", help="the data set (.h5)")
    result.add_argument("--claims", type=Path, nargs="?", help="claims.csv, where the experiment answers to claims")
    result.add_argument(
        "--cumulative", type=Path, nargs="*", default=[], help="cumulative/{layer}.csv ..., if computed"
    )
    program.add_settings(result, AtlasSettings)
    result.add_argument("--output", type=Path, required=True, help="page to write (.html)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Read all that is known of the units, lay their images out, and write the page."""
    album = Album(arguments.settings.pixels)
    generated = read_generated(arguments.images, album)
    classes, activity = read_activity(arguments.activations) if arguments.activations else ([], {})
    natural = read_natural(arguments.exemplars, arguments.dataset, album) if arguments.exemplars else None
    page_content = content.content(
        read_table(arguments.units, UnitsTable),
        read_table(arguments.layers, LayersTable),
        read_json(arguments.taps),
        classes,
        activity,
        generated,
        natural,
        [read_table(path, CurvesTable) for path in arguments.cumulative],
    )
    claim_groups = []
    if arguments.claims:
        texts = {name: claim.text for name, claim in CLAIMS.items()} | analysis_claims.TEXTS
        claim_groups = page_claims.claim_groups(read_table(arguments.claims, ClaimsTable), texts)
    text = page.page(page_content, album.sheets, get_plotlyjs(), claim_groups)
    console.log.info("%d units, %d sheets, %d bytes", len(page_content["units"]["unit"]), len(album.sheets), len(text))
    write_bytes(arguments.output, text.encode())


def read_generated(paths: Iterable[Path], album: Album) -> dict[tuple[str, str], content.GeneratedImages]:
    """Return what artifacts of images hold, by layer and method; the images go into the album.

    Several artifacts of one layer and method, of its targets and of their substitutes, are joined.
    """
    paths_by_key: dict[tuple[str, str], list[Path]] = {}
    for path in paths:
        with open_hdf5(path) as file:
            paths_by_key.setdefault((str(file.attrs["layer"]), str(file.attrs["method"])), []).append(path)
    return {key: joined(several, album) for key, several in paths_by_key.items()}


def joined(paths: Sequence[Path], album: Album) -> content.GeneratedImages:
    """Return what artifacts of one layer and method hold, the units of one behind those of the other."""
    with ExitStack() as stack:
        files = [stack.enter_context(open_hdf5(path)) for path in paths]
        place = album.add(sheets_of([file["images"] for file in files]), generated=True)
        return content.GeneratedImages(
            np.concatenate([file["units"][:] for file in files]),
            len(files[0]["units"]),
            json.loads(files[0].attrs["seeds"]),
            place,
            partial(responses, paths),
        )


def responses(paths: Sequence[Path]) -> np.ndarray:
    """Return what the layer answers to the images of several artifacts, (seeds, units with an image, units)."""
    with ExitStack() as stack:
        files = [stack.enter_context(open_hdf5(path)) for path in paths]
        return np.concatenate([compared_in(file) for file in files], axis=1)


def sheets_of(files: Sequence[h5py.Dataset]) -> Iterator[np.ndarray]:
    """Yield images (seeds, targets, ...) of several files in one row, seed by seed, at most a sheet at a time."""
    waiting: list[np.ndarray] = []
    for seed in range(files[0].shape[0]):
        for images in files:
            for first in range(0, images.shape[1], PER_SHEET):
                waiting.append(images[seed, first : first + PER_SHEET])
                if sum(map(len, waiting)) >= PER_SHEET:
                    row = np.concatenate(waiting)
                    yield row[:PER_SHEET]
                    waiting = [row[PER_SHEET:]]
    if sum(map(len, waiting)):
        yield np.concatenate(waiting)


def read_activity(path: Path) -> tuple[list[str], dict[str, page_scores.Activity]]:
    """Return the classes, and what real images say about each layer."""
    with open_hdf5(path) as file:
        activity = {
            layer: page_scores.Activity(
                {score: group[score][:] for score in page_scores.ACTIVATION_SCORES},
                group["class_means"][:] if "class_means" in group else None,
            )
            for layer, group in file["layers"].items()
        }
        return [str(name) for name in file.attrs["classes"]], activity


def read_natural(exemplars: Path, dataset: Path, album: Album) -> content.Natural:
    """Return the natural images that excite units most; the images go into the album."""
    with open_hdf5(exemplars) as file:
        layer_exemplars = {
            layer: Exemplars(group["images"][:], group["activations"][:]) for layer, group in file["layers"].items()
        }
    rows = shown(layer_exemplars.values())
    with open_hdf5(dataset) as file:
        labels, test = file["labels"][:][rows], np.flatnonzero(file["split"][:] == 1)
    place: Mapping[str, object] = {}
    if len(rows):
        with open_dataset(dataset) as images:
            numbers = np.searchsorted(test, rows)
            blocks = (
                images.take("test", numbers[first : first + PER_SHEET]) for first in range(0, len(rows), PER_SHEET)
            )
            place = album.add(blocks, generated=False)
    return content.Natural(rows, labels, place, layer_exemplars)


if __name__ == "__main__":
    program.run(parser(), main)
