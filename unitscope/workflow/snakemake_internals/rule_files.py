"""The files that rules write, by their patterns."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from snakemake.io import WILDCARD_REGEX


def files_of(
    workflow: Any, values: Callable[[Collection[str]], Iterable[Mapping[str, str]]]
) -> Iterator[tuple[str, str]]:
    """Yield the path of each file that the rules write for a study, and words that name the job.

    Where Snakemake reads other wildcards from a path than those that it was made from, it is yielded with those too.

    Args:
        workflow: The workflow, its rules read.
        values: Returns the values that wildcards of these names take together.
    """
    for rule in workflow.rules:
        if not rule.output:
            continue
        files = [*rule.output, *rule.log, *([rule.benchmark] if rule.benchmark else [])]
        patterns = [WILDCARD_REGEX.sub(r"{\g<name>}", str(file)) for file in files]
        for wildcards in values(rule.wildcard_names):
            paths = [pattern.format_map(wildcards) for pattern in patterns]
            parsed = rule.output[0].match(paths[0])
            # Else they are another rule's, by its constraints.
            if parsed is None:
                continue
            words = _words(rule, wildcards)
            yield from ((path, words) for path in paths)
            if parsed.groupdict() != wildcards:
                yield paths[0], _words(rule, parsed.groupdict())


def _words(rule: Any, wildcards: Mapping[str, str]) -> str:
    named = ", ".join(f"{name} {value!r}" for name, value in sorted(wildcards.items()))
    return f"{rule.name} ({named})" if named else str(rule.name)


def benchmarked_rules(workflow: Any) -> list[str]:
    """Return the rules with a benchmark file per job of an experiment."""
    return [rule.name for rule in workflow.rules if rule.benchmark and "experiment" in rule.wildcard_names]
