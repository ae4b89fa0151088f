"""Read artifacts whole, and hold them against the checksums in dvc.lock: here, in DVC's cache, or in the remote store.

With --repair what is missing or damaged in the cache is put back from this folder, and in the store from the cache.
"""

import argparse

from unitscope.errors import UserError
from unitscope.workflow import program
from unitscope.workflow.ledger import locked_rows, other_versions
from unitscope.workflow.store.dvc_lock import Recorded
from unitscope.workflow.store.soundness import compare, missing, unsound_in_cache, unsound_in_store


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    place = result.add_mutually_exclusive_group()
    place.add_argument("--fetched", action="store_true", help="look whether the cache has them, and read nothing")
    place.add_argument("--cache", action="store_true", help="look into DVC's cache")
    place.add_argument("--store", action="store_true", help="look into DVC's default remote")
    result.add_argument("--repair", action="store_true", help="put back what is missing or damaged there")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Compare each file."""
    recorded = Recorded()
    if arguments.fetched:
        if lost := missing(recorded.files(), recorded.cache):
            raise UserError(f"The store lacks these files, or holds them damaged: {', '.join(lost)}.")
    elif arguments.cache or arguments.store:
        look = unsound_in_cache if arguments.cache else unsound_in_store
        name, source = ("DVC's cache", "this folder") if arguments.cache else ("the store", "DVC's cache")
        unsound = look(recorded, arguments.repair)
        for problem in unsound.repaired:
            print(f"In {name} {problem}: put back from {source}.")
        if unsound.left:
            remedy = f"{source} does not hold it either" if arguments.repair else "--repair puts back what is here"
            raise UserError(f"In {name} {', '.join(unsound.left)}; {remedy}.")
    else:
        for path, md5 in recorded.files():
            compare(path, md5)
        for line in other_versions(locked_rows().values()):
            print(f"{line}.")


if __name__ == "__main__":
    program.run(parser(), main, in_project=True)
