"""Whether artifacts are those of the checksums in dvc.lock: here, in DVC's cache, or in the remote store."""

from collections.abc import Iterator
from typing import Literal

from unitscope.errors import UserError
from unitscope.workflow.ledger import locked_rows, other_versions
from unitscope.workflow.store.dvc_lock import Recorded
from unitscope.workflow.store.soundness import compare, missing, unsound_in_cache, unsound_in_store


def verify_here() -> Iterator[str]:
    """Compare the artifacts in this folder, and yield a line for each set of other versions that they were made with.

    Raises:
        UserError: One is not there, or its content is not what was recorded.
    """
    for path, md5 in Recorded().files():
        compare(path, md5)
    for line in other_versions(locked_rows().values()):
        yield f"{line}."


def verify_fetched() -> None:
    """Look whether the cache has all artifacts, and read nothing.

    Raises:
        UserError: It lacks some.
    """
    recorded = Recorded()
    if lost := missing(recorded.files(), recorded.cache):
        raise UserError(f"The store lacks these files, or holds them damaged: {', '.join(lost)}.")


def verify_copies(location: Literal["cache", "store"], repair: bool) -> Iterator[str]:
    """Compare the copies in DVC's cache or in the default remote, and yield a line for each that was put back.

    Args:
        location: Which copies.
        repair: Whether what is missing or damaged in the cache is put back from this folder, and in the store from the
            cache.

    Raises:
        UserError: Some are missing or damaged, and were not put back.
    """
    look = {"cache": unsound_in_cache, "store": unsound_in_store}[location]
    name, source = ("DVC's cache", "this folder") if location == "cache" else ("the store", "DVC's cache")
    unsound = look(Recorded(), repair)
    for problem in unsound.repaired:
        yield f"In {name} {problem}: put back from {source}."
    if unsound.unrepaired:
        remedy = f"{source} does not hold it either" if repair else "--repair puts back what is here"
        raise UserError(f"In {name} {', '.join(unsound.unrepaired)}; {remedy}.")
