"""The example notebook runs on the artifacts of a real, small flow."""

import os

import nbformat
import pytest
from nbclient import NotebookClient
from projects import ROOT, SMALL, Project

pytestmark = pytest.mark.verify


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = Project.create(tmp_path_factory.mktemp("notebook"), SMALL)
    project.snakemake()
    return project


@pytest.mark.parametrize("started", ["", "docs"])
def test_the_notebook_reads_the_artifacts(finished, monkeypatch, started):
    monkeypatch.setenv("EXPERIMENT", "small")
    # As Jupyter is started by people: `make` sets it for the flow, and Jupyter's own would not be taken.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(ROOT / "docs/artifacts.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed with outputs"
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(finished.folder / started)}})
    client.execute(env={**os.environ})
    texts = [str(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    assert all("Error" not in text for text in texts)
    assert sum("image/png" in text for text in texts) == 2
    assert "RS, computed again" in "".join(texts)
