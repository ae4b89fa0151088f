"""What the tests of probing share: messages that a process gives once are given to every test."""

import pytest

from unitscope.probing.tracing import _say_untraceable


@pytest.fixture(autouse=True)
def _messages_of_this_test() -> None:
    _say_untraceable.cache_clear()
