"""docs/tests.md: each promise has a test that exists, in the tier that is named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/tests.md").read_text()
ROWS = re.findall(r"^\| .+? \| `(.+?)` \| (\w+) \|$", TEXT, re.MULTILINE)


@pytest.mark.slow
def test_every_promise_has_a_test_of_its_tier():
    promises = [line for line in TEXT.splitlines() if line.startswith("| ") and "**" not in line]
    # The head of the table is none.
    assert len(ROWS) == len(promises) - 1 > 50
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "tiers"],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/support'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    order = ("check", "test", "verify", "fuzz")
    tiers: dict[str, str] = {}
    for tier, test in re.findall(r"^tier (\w+) (.+)$", done.stdout, re.MULTILINE):
        # By the first of its parameters that is run.
        tiers[test] = min(tier, tiers.get(test, tier), key=order.index)
    assert set(tiers.values()) == set(order), done.stdout[-2000:]
    assert [row for row in ROWS if tiers.get(f"tests/{row[0]}") != row[1]] == []
