"""The one exception that means "you can mend this": a message for people.

It says what was found, in which file and key, what is allowed and what to do. Everything else that is raised is a
fault of the program. Turning either into an exit code is the work of `unitscope.runtime.console`.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

NEAR = 0.7
"""Similarity of words, 0 to 1, from which one may be a misspelling of the other: `gpu` is none of `cpu`."""


class UserError(Exception):
    """A mistake in a config, a file or an argument, told in one readable paragraph."""


def printable(name: object) -> str:
    """Return a name of a file for a message: control characters, which a terminal would obey, as escapes."""
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) == "Cc" else character
        for character in str(name)
    )


def nearest(word: Any, allowed: Iterable[Any]) -> str:
    """Return the question after the allowed word that was probably meant; an empty text if none is similar."""
    by_lower = {str(other).lower(): other for other in allowed}
    close = difflib.get_close_matches(word.lower(), by_lower, 1, NEAR) if isinstance(word, str) else []
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first of several names for a message, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
