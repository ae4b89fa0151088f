"""How every program here begins and ends: a user's mistake is one paragraph and exit code 1, without a traceback."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from unitscope.errors import UserError

_NO_MEMORY = "There was not enough memory. Lower how many images are computed at once (batch), then run again."
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "bad_alloc", "Cannot allocate memory")
_DISK_ERRORS = {
    errno.ENOSPC: "There is no space left on the disk. Free some, then run again",
    errno.EDQUOT: "The disk quota is used up. Free some space, then run again",
    errno.EROFS: "The file system is read-only. Choose a folder that can be written, then run again",
    errno.EACCES: "The file or folder may not be accessed. Mend its permissions, then run again",
}
_PATH_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST)


def prepare() -> None:
    """Let SIGTERM end this process in order, and let it find the environment's programs and a cache."""
    signal.signal(signal.SIGTERM, _stop)
    # Snakemake needs a cache, also where the home folder cannot be written.
    os.environ |= caches(os.environ)
    # Programs of the environment, such as dvc, are found without activating it.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    # Raised as an exception, so that temporary files are removed on the way out.
    sys.exit(128 + number)


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


def refuse_other_library(program: Path) -> None:
    """Refuse to run a program of one clone with the library of another, as in an environment that both share.

    Args:
        program: A file of the clone, in its folder or at most two folders below.

    Raises:
        UserError: Python loads unitscope from another clone.
    """
    loaded = Path(str(sys.modules["unitscope"].__file__)).resolve()
    libraries = (folder / "unitscope/__init__.py" for folder in program.resolve().parents[:3])
    library = next((path for path in libraries if path.is_file()), loaded)
    if library.resolve() != loaded:
        clone = library.parents[1]
        raise UserError(
            f"{program} belongs to {clone}, but Python loads unitscope from {loaded.parents[1]}. Set "
            f"PYTHONPATH={clone}, or install an environment for this folder, and run again."
        )


def fault(error: Exception) -> str:
    """Return the message for an error that no mistake of a user explains."""
    return (
        f"This is a fault of unitscope, not of your input: {type(error).__name__}: {error}. "
        "Please report it with the traceback."
    )


@contextlib.contextmanager
def reported(
    arguments: Mapping[str, Any], fail: Callable[[str], NoReturn], unexpected: Callable[[Exception], str] = fault
) -> Iterator[None]:
    """Turn an error into a message.

    Args:
        arguments: The command line's values by name: an error about a path that is among them names it.
        fail: Reports the message, and ends the process.
        unexpected: Returns the message for an error that is neither a user's mistake nor the machine's.
    """
    try:
        yield
    except UserError as error:
        fail(with_names(str(error), arguments))
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read what is printed, such as `head`, has seen enough.
        os._exit(0)
    except OSError as error:
        if is_out_of_memory(error):
            fail(_NO_MEMORY)
        if option := option_of(error, arguments):
            fail(f"{option}: {error.filename}: {error.strerror}. Correct the path, and run again.")
        if error.errno not in _DISK_ERRORS:
            fail(unexpected(error))
        where = f": {error.filename}" if error.filename else ""
        fail(f"{_DISK_ERRORS[error.errno]}{where} ({error.strerror or error}).")
    except Exception as error:
        fail(_NO_MEMORY if is_out_of_memory(error) else unexpected(error))


def with_names(text: str, arguments: Mapping[str, Any]) -> str:
    """Return a message with the names that the config gives to a job's data set and network.

    The code of a job knows its data set by path alone, and its network by an option.
    """
    paths = [path for paths in _paths(arguments).values() for path in paths]
    names = {path.stem for path in paths if path.parts[-3:-1] == ("data", "datasets")}
    text = text.replace("datasets.NAME", f"datasets.{names.pop()}") if len(names) == 1 else text
    return text.replace("networks.NAME", f"networks.{arguments.get('network_entry', 'NAME')}")


def option_of(error: OSError, arguments: Mapping[str, Any]) -> str:
    """Return the argument whose path an error is about; an empty text if it is about another path."""
    if error.errno not in _PATH_ERRORS or error.filename is None:
        return ""
    failing_path = Path(os.fsdecode(error.filename))
    for name, paths in _paths(arguments).items():
        if any(failing_path == path or failing_path in path.parents for path in paths):
            return name
    return ""


def _paths(arguments: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Return the paths in each argument."""
    values = {name: value if isinstance(value, list) else [value] for name, value in arguments.items()}
    return {name: [path for path in value if isinstance(path, Path)] for name, value in values.items()}


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory has run out, of the machine or of a device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # PyTorch tells it in words where there is no device.
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
