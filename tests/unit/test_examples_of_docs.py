"""Python in README.md and docs/: the examples run as they are written, one after the other on each page."""

import os
import re
from pathlib import Path

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if re.search(r"^```python$.*?^(import unitscope|from unitscope)", page.read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.fixture(autouse=True)
def _random_weights(monkeypatch):
    # Nothing is downloaded: what an example shows does not depend on which weights these are.
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *_, **__: resnet18().state_dict())


def test_pages_with_examples():
    assert {page.name for page in PAGES} >= {"README.md", "python.md"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documentation_examples_run(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if "unitscope" in block or "us." in block or "layer" in block]
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert blocks and os.path.getsize("unit.png") > 1000
