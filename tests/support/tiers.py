"""A plugin of pytest that prints to which of the Makefile's targets each test belongs."""

import pytest


def tier(item: pytest.Item) -> str:
    """Return the first target that runs a test."""
    marks = {mark.name for mark in item.iter_markers()}
    if marks & {"fuzz", "verify"}:
        return "fuzz" if "fuzz" in marks else "verify"
    return "test" if "slow" in marks or "tests/unit/" not in item.nodeid else "check"


def pytest_collection_finish(session: pytest.Session) -> None:
    for item in session.items:
        print(f"\ntier {tier(item)} {item.nodeid.partition('[')[0]}", end="")
