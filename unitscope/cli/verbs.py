"""What all verbs of the command line share: how they begin, and how they end when something is wrong."""

import functools
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


def verb(function: Callable[..., int | None]) -> Callable[..., NoReturn]:
    """Return a function that ends the process by what a verb returns: 0 for None, and 1 after a message on stderr."""

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> NoReturn:
        # Only here: `--help` needs none of it.
        from unitscope.workflow.endings import prepare, refuse_other_library, reported

        values = inspect.signature(function).bind(*arguments, **named).arguments
        prepare()
        with reported(values, _fail):
            _show_warnings()
            refuse_other_library(Path.cwd() / "unitscope")
            sys.exit(function(*arguments, **named) or 0)
        raise AssertionError("unreachable")

    return called


def project_verb(function: Callable[..., int | None]) -> Callable[..., NoReturn]:
    """Return the same for a verb that calls Snakemake or DVC, which look for the project in the working directory."""

    @functools.wraps(function)
    def in_project(*arguments: Any, **named: Any) -> int | None:
        from unitscope.errors import UserError

        if not Path("Snakefile").is_file():
            raise UserError(
                f"There is no Snakefile in {Path.cwd()}. Change to the folder of the project, and run again."
            )
        return function(*arguments, **named)

    return verb(in_project)


def _show_warnings() -> None:
    import logging

    from unitscope.runtime.console import log

    log.setLevel(logging.INFO)
    screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING)
    log.addHandler(screen)


def _fail(message: str) -> NoReturn:
    """Print a message alone, in one line that editors and searches find as it is; a fault comes with its traceback."""
    print(message, file=sys.stderr)
    if "fault of unitscope" in message:
        print(f"\n{traceback.format_exc()}", file=sys.stderr)
    sys.exit(1)
