"""What the persistence asks of the flow whose jobs it looks at."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hooks:
    """Functions of a job, and what holds for a whole call.

    Attributes:
        refuse: Returns why a job that is due cannot be executed here; an empty text for most.
        source: Returns the digest of the raw data that a job reads, as they are now; an empty text for most.
        lower: Returns the sentence that names the setting to lower where a job runs out of memory; may be empty.
        settings: Returns the settings of a job by which its artifacts are told from those of another config.
        equal_today: Returns whether another config describes the same as this one for a job.
        takeover: Whether this config may overwrite what another one owns, and owns it from then on.
        checks: Rules that find mistakes of a config in the first minute: where one fails, nothing else begins.
    """

    refuse: Callable[[Any], str] = lambda job: ""
    source: Callable[[Any], str] = lambda job: ""
    lower: Callable[[Any], str] = lambda job: ""
    settings: Callable[[Any], Any] = lambda job: {}
    equal_today: Callable[[Any, str], bool] = lambda job, config: False
    takeover: bool = False
    checks: Collection[str] = ()
