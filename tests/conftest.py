"""What all tests share: the folder of their helpers, and one finished run that scenarios copy."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Helpers of the tests, and the example of a network of one's own in configs/.
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "support"))

from projects import SMALL, Project

# How much is tried where examples are drawn: `make test` tries the same few each time, `make fuzz` many new ones. How
# long one takes is no mistake.
DRAWING = settings(deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("test", DRAWING, max_examples=25, derandomize=True, database=None)
settings.register_profile("fuzz", DRAWING, max_examples=1000, print_blob=True)
settings.load_profile("test")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """Return a project in which a plain Snakemake has finished, and DVC has recorded it. Not to be changed."""
    project = Project.create(tmp_path_factory.mktemp("finished") / "project", SMALL)
    project.snakemake()
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """Return a copy of the finished project."""
    return finished.copy(tmp_path / "project")
