"""The programs of the jobs of a study, and the digests of their code."""

import os
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from unitscope.workflow.provenance import code_digest, script_named, user_code_digest


class JobCode:
    """The code of one moment for all jobs of a run: a job that finds other code says so, and records nothing.

    Args:
        root: The project's folder.
        network_function: Returns the function of the user's that makes a job's network; an empty text for most.
    """

    def __init__(self, root: Path, network_function: Callable[[Any], str]) -> None:
        self._root, self._network_function = root, network_function
        # Snakemake sees no edits of imported modules.
        self.digest = cache(lambda name: code_digest(script_named(name, root), root))
        self._user_code_digest = cache(lambda function: user_code_digest(function, root))

    def program(self, name: str) -> str:
        """Return the words of a command that call a program, with its path from the folder that the flow runs in.

        A key of the ledger contains the name alone, so that a program may be moved.
        """
        path = os.path.relpath(script_named(name, self._root))
        return f"python {shlex.quote(path)}".replace("{", "{{").replace("}", "}}")

    def with_network(self, name: str) -> Callable[[Any], str]:
        """Return a function that gives the digest of a program's code and of the user's code that makes its network."""

        def digest(wildcards: Any) -> str:
            function = self._network_function(wildcards)
            return self.digest(name) + (self._user_code_digest(function) if function else "")

        return digest
