"""What every command-line program here shares: its options, its log file, and how it ends when something is wrong.

A user's mistake ends in one paragraph and exit code 1; the traceback goes into the log. What a program does is in
`scripts/`.
"""

import argparse
import contextlib
import dataclasses
import errno
import gc
import logging
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn, get_args

from pydantic import ValidationError

from unitscope.errors import UserError
from unitscope.figures.style import Style
from unitscope.new_files import appended_file
from unitscope.runtime.console import log, peak_memory
from unitscope.settings import adapter
from unitscope.workflow.provenance import RunningCode

PEAK_MEMORY = "peak memory"
"""How the last line of a log begins."""

_NO_MEMORY = "There was not enough memory. Lower how many images are computed at once (batch), then run again."
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "bad_alloc", "Cannot allocate memory")
_DISK_ERRORS = {
    errno.ENOSPC: "There is no space left on the disk. Free some, then run again",
    errno.EDQUOT: "The disk quota is used up. Free some space, then run again",
    errno.EROFS: "The file system is read-only. Choose a folder that can be written, then run again",
    errno.EACCES: "The file or folder may not be accessed. Mend its permissions, then run again",
}


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


def study_parser(description: str | None) -> argparse.ArgumentParser:
    """Return such a parser with the option of programs that look at a whole study."""
    result = parser(description)
    result.add_argument(
        "--config",
        type=Path,
        nargs="+",
        default=[Path("config.yaml")],
        help="the config (.yaml), and others that are laid over it",
    )
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


def run(
    parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None], in_project: bool = False
) -> NoReturn:
    """Parse the command line, run `main`, and exit: 0 when done, 1 with a paragraph on stderr when not.

    Args:
        parser: The command line.
        main: What is done.
        in_project: Whether it calls Snakemake or DVC, which look for the project in the working directory.
    """
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        _open_log(arguments.log)
        log.addFilter(lambda record: _name_data_set(record, arguments))
        refuse_other_library(Path(sys.argv[0]))
        if in_project and not Path("Snakefile").is_file():
            raise UserError(
                f"There is no Snakefile in {Path.cwd()}. Change to the folder of the project, and run again."
            )
        # Snakemake needs a cache, also where the home folder cannot be written.
        os.environ |= caches(os.environ)
        # Programs of the environment, such as dvc, are found without activating it.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        python = getattr(arguments, "python", "")
        code = RunningCode(Path(sys.argv[0]).resolve(), python, arguments.code) if arguments.code else None
        main(arguments)
        if code is not None:
            code.check()
        log.info("%s: %d MiB", PEAK_MEMORY, peak_memory())
        # Nothing need be searched for cycles where the process ends: 0.4 of the 2.4 s that a job takes to load PyTorch
        # and to end (`time python -c 'import torch'`, and with `; import gc; gc.freeze()`).
        gc.freeze()
    except UserError as error:
        _fail(with_data_set(str(error), arguments), arguments.log)
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read what is printed, such as `head`, has seen enough.
        os._exit(0)
    except OSError as error:
        if is_out_of_memory(error):
            _fail(_NO_MEMORY, arguments.log)
        if option := option_of(error, arguments):
            _fail(f"{option}: {error.filename}: {error.strerror}. Correct the path, and run again.", arguments.log)
        if error.errno not in _DISK_ERRORS:
            _fail(_by_hand(error) if is_by_hand(arguments) else _fault(error), arguments.log)
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{_DISK_ERRORS[error.errno]}{where} ({error.strerror or error}).", arguments.log)
    except Exception as error:
        told = _by_hand(error) if is_by_hand(arguments) else _fault(error)
        _fail(_NO_MEMORY if is_out_of_memory(error) else told, arguments.log)
    sys.exit(0)


def with_data_set(text: str, arguments: argparse.Namespace) -> str:
    """Return a message with the key of the data set that a job reads or writes, which its code knows by path alone."""
    values = [value if isinstance(value, list) else [value] for value in vars(arguments).values()]
    paths = [path for value in values for path in value if isinstance(path, Path)]
    names = {path.stem for path in paths if path.parts[-3:-1] == ("data", "datasets")}
    return text.replace("datasets.NAME", f"datasets.{names.pop()}") if len(names) == 1 else text


def _name_data_set(record: logging.LogRecord, arguments: argparse.Namespace) -> bool:
    record.msg, record.args = with_data_set(record.getMessage(), arguments), ()
    return True


def refuse_other_library(program: Path) -> None:
    """Refuse to run a program of one clone with the library of another, as in an environment that both share.

    Raises:
        UserError: Python loads unitscope from another folder than that beside the program.
    """
    loaded = Path(str(sys.modules["unitscope"].__file__)).resolve().parent
    # A program is in scripts/, or in a folder of scripts/.
    clone = next((folder for folder in program.resolve().parents[1:3] if (folder / "unitscope").is_dir()), None)
    if clone is not None and (clone / "unitscope").resolve() != loaded:
        raise UserError(
            f"{program} belongs to {clone}, but Python loads unitscope from {loaded.parent}. Set "
            f"PYTHONPATH={clone}, or install an environment for this folder, and run again."
        )


def caches(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables that move caches into the working directory; none where the home folder can be written."""
    folder = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return {}
    except OSError:
        pass
    cache = Path.cwd() / ".snakemake/cache"
    return {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(cache / "matplotlib")}


_PATH_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST)


def option_of(error: OSError, arguments: argparse.Namespace) -> str:
    """Return the argument whose path an error is about; an empty text if it is about another path."""
    if error.errno not in _PATH_ERRORS or error.filename is None:
        return ""
    found = Path(os.fsdecode(error.filename))
    for name, value in vars(arguments).items():
        paths = [path for path in (value if isinstance(value, list) else [value]) if isinstance(path, Path)]
        if any(found == path or found in path.parents for path in paths):
            return name
    return ""


def is_by_hand(arguments: argparse.Namespace) -> bool:
    """Return whether a step of the flow was called by hand: a rule passes the digest of the code that it asks for."""
    return hasattr(arguments, "output") and not arguments.code


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory has run out, of the machine or of a device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # PyTorch tells it in words where there is no device.
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    # Raised as an exception, so that temporary files are removed on the way out.
    sys.exit(128 + number)


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


def _fault(error: Exception) -> str:
    return (
        f"This is a fault of unitscope, not of your input: {type(error).__name__}: {error}. "
        "Please report it with the traceback."
    )


def _by_hand(error: Exception) -> str:
    """Return the message for a step that was called with arguments which no rule has put together."""
    return (
        f"{Path(sys.argv[0]).name} cannot work with these arguments: {type(error).__name__}: {error}. Compare them "
        "with those of the flow, which `snakemake --dry-run --printshellcmds` shows; --log FILE keeps the traceback."
    )


def _fail(message: str, path: Path | None) -> NoReturn:
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
