"""What all programs in `scripts/` share: options, the log file with tracebacks, and the check of their code."""

import argparse
import contextlib
import dataclasses
import gc
import logging
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, get_args

from pydantic import ValidationError

from unitscope.figures.style import Style
from unitscope.new_files import appended_file
from unitscope.runtime.console import log, peak_memory
from unitscope.settings import adapter
from unitscope.workflow.endings import fault, prepare, refuse_other_library, reported, with_names
from unitscope.workflow.provenance import RunningCode

PEAK_MEMORY = "peak memory"
"""How the last line of a log begins."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all programs share."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    result.add_argument("--log", type=Path, help="file that receives progress lines and tracebacks")
    result.add_argument(
        "--code", default="", help="digest of the code that is asked for: other code is refused; by default any will do"
    )
    return result


def add_network_entry(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the network in messages, as the config does."""
    parser.add_argument("--network-entry", default="NAME", help="name of the network in the config, for messages")


def network_parser(description: str | None) -> argparse.ArgumentParser:
    """Return such a parser with the options of all programs that run a finished network."""
    result = parser(description)
    result.add_argument("--checkpoint", type=Path, required=True, help="the network (.pt)")
    result.add_argument(
        "--python", nargs="?", const="", default="", help="your function that makes the network, if any"
    )
    return result


def figure_parser(description: str | None) -> argparse.ArgumentParser:
    """Return such a parser with the options of all programs that draw figures."""
    result = parser(description)
    add_settings(result, Style)
    result.add_argument("--output-dir", type=Path, required=True, help="folder to write to")
    return result


def add_settings(parser: argparse.ArgumentParser, section: Any, name: str = "settings") -> None:
    """Add an option that takes a section of settings as JSON: validated, with defaults for missing keys.

    Args:
        parser: The command line.
        section: The section's class, or a union of classes.
        name: Name of the option.
    """
    try:
        default = {"default": adapter(section).validate_python({})}
    except ValidationError:
        default = {"required": True}
    parser.add_argument(f"--{name}", type=_reader_of(section), help=f"JSON with the keys {_keys(section)}", **default)


def _keys(section: Any) -> str:
    """Return the keys of a section; of a union, those of each of its classes."""
    if dataclasses.is_dataclass(section):
        return ", ".join(field.name for field in dataclasses.fields(section))
    union, *_ = get_args(section)
    return "; or ".join(map(_keys, get_args(union)))


def _reader_of(section: Any) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return adapter(section).validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise argparse.ArgumentTypeError(f"{f'{place}: ' if place else ''}{first['msg']}") from None

    return read


def run(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]) -> NoReturn:
    """Parse the command line, run `main`, and exit: 0 when done, 1 with a paragraph on stderr when not.

    Args:
        parser: The command line.
        main: What is done.
    """
    arguments = parser.parse_args()
    values = vars(arguments)
    program = Path(sys.argv[0])
    prepare()
    with reported(values, partial(_fail, arguments.log), _by_hand if is_by_hand(arguments) else fault):
        _open_log(arguments.log)
        log.addFilter(partial(_with_names, values))
        refuse_other_library(program)
        python = getattr(arguments, "python", "")
        code = RunningCode(program.resolve(), python, arguments.code) if arguments.code else None
        main(arguments)
        if code is not None:
            code.check()
        log.info("%s: %d MiB", PEAK_MEMORY, peak_memory())
        # Nothing need be searched for cycles where the process ends: 0.4 of the 2.4 s that a job takes to load PyTorch
        # and to end (`time python -c 'import torch'`, and with `; import gc; gc.freeze()`).
        gc.freeze()
    sys.exit(0)


def _with_names(arguments: Mapping[str, Any], record: logging.LogRecord) -> bool:
    record.msg, record.args = with_names(record.getMessage(), arguments), ()
    return True


def is_by_hand(arguments: argparse.Namespace) -> bool:
    """Return whether a step of the flow was called by hand: a rule passes the digest of the code that it asks for."""
    return hasattr(arguments, "output") and not arguments.code


def _open_log(path: Path | None) -> None:
    log.setLevel(logging.INFO)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8")
        _have_alone(path)
        assert handler.stream is not None
        handler.stream.truncate(0)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
    screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING)
    log.addHandler(screen)


class _LogFile(logging.FileHandler):
    """A log file that is no link."""

    def _open(self) -> Any:
        return appended_file(Path(self.baseFilename), encoding=self.encoding)


_held: list[IO[str]] = []
"""Locks that last as long as the process."""


def _have_alone(path: Path) -> None:
    """Wait while another process writes this log: one that a killed Snakemake left behind still does the same job.

    The lock is a file beside the log, which Snakemake takes away before it starts a job.
    """
    import fcntl

    # Some network file systems know no locks.
    with contextlib.suppress(OSError):
        _held.append(appended_file(path.with_name(f".{path.name}.lock")))
        try:
            fcntl.flock(_held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process does the same job ({path}). Waiting for its end.", file=sys.stderr)
            fcntl.flock(_held[-1], fcntl.LOCK_EX)


def _by_hand(error: Exception) -> str:
    """Return the message for a step that was called with arguments which no rule has put together."""
    return (
        f"{Path(sys.argv[0]).name} cannot work with these arguments: {type(error).__name__}: {error}. Compare them "
        "with those of the flow, which `snakemake --dry-run --printshellcmds` shows; --log FILE keeps the traceback."
    )


def _fail(path: Path | None, message: str) -> NoReturn:
    trace = traceback.format_exc()
    text = textwrap.fill(f"Error: {message}", width=100, break_long_words=False, break_on_hyphens=False)
    print(text, file=sys.stderr)
    if path is None:
        if "fault of unitscope" in message:
            print(trace, file=sys.stderr)
    else:
        # The log may be unwritable for the same reason that stopped the program; the paragraph has been shown anyway.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with appended_file(path, encoding="utf-8") as handle:
                handle.write(f"{text}\n\n{trace}")
            print(f"The traceback is in {path}.", file=sys.stderr)
    # At once: a file that HDF5 could not write to a full disk makes it crash when the interpreter ends in order.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
