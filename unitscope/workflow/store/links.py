"""Links by which artifacts are outside of the project's folder, where DVC records nothing."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from unitscope.storage.contents import read_lines

REPORTED = Path(".snakemake/unitscope/links")
"""File with the links out of this folder that were told of."""


def links_out(paths: Iterable[str]) -> dict[str, str]:
    """Return the links by which paths lead out of this folder, each with its target.

    DVC records nothing behind them.
    """
    here, links = Path.cwd().resolve(), {}
    for folder in {parent for path in paths for parent in Path(path).parents}:
        if folder.is_symlink() and not (target := folder.resolve()).is_relative_to(here):
            links[str(folder)] = str(target)
    return links


def unreported(links: Mapping[str, str]) -> dict[str, str]:
    """Return those links that nobody was told of yet."""
    return {link: target for link, target in links.items() if [link, target] not in read_lines(REPORTED)}
