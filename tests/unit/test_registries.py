"""Implementations are registered by a decorator, and their names are known without importing them."""

import subprocess
import sys

import pytest
from configs_by_hand import study
from projects import ROOT

from unitscope.claims.analysis_claims import ANALYSIS_CLAIMS
from unitscope.config.registry import ANALYSES
from unitscope.data.dataset_settings import SECTIONS
from unitscope.data.raw_data import read_source
from unitscope.errors import UserError
from unitscope.maximization.objectives import objectives
from unitscope.maximization.optimizers import optimizers
from unitscope.maximization.parametrization import parametrizations, starts
from unitscope.maximization.recipe import OBJECTIVES, OPTIMIZERS, PARAMETRIZATIONS, STARTS
from unitscope.networks.architectures import architectures
from unitscope.networks.network_settings import BUILT_IN
from unitscope.registries import Declaration, Registry, declared, described

SOURCE = '''"""A module that cannot be imported."""

import no_such_package

@shapes.register("circle", smooth=True)
def circle():
    """Draw a circle.

    Round.
    """

@shapes.register("square")
class Square:
    """Draw a square."""

@others.register("triangle")
def triangle():
    """Draw a triangle."""

@shapes.draw("pentagon")
def pentagon():
    """Draw a pentagon."""
'''


def test_names_properties_and_summaries_are_read_from_the_source(tmp_path):
    (tmp_path / "shapes.py").write_text(SOURCE)
    declarations = declared(tmp_path / "shapes.py", "shapes")
    assert declarations == {
        "circle": Declaration("Draw a circle.", frozenset({"smooth"})),
        "square": Declaration("Draw a square.", frozenset()),
    }
    assert described(declarations) == "circle: draw a circle. square: draw a square."


def test_registry_lookup_and_nearest_match():
    shapes: Registry = Registry("shape")

    @shapes.register("circle")
    def circle():
        return "round"

    assert shapes["circle"] is circle and list(shapes) == ["circle"] and "square" not in shapes
    with pytest.raises(
        UserError, match=r"The shape 'cirlce' is not known. Did you mean 'circle'\? Allowed are circle."
    ):
        shapes["cirlce"]
    with pytest.raises(ValueError, match="there are two of the shape circle"):
        shapes.register("circle")


def test_declarations_read_from_source_equal_the_registered_ones():
    assert list(architectures) == list(BUILT_IN) == ["mlp", "shallow_convnet", "vgg16"]
    assert list(objectives) == list(OBJECTIVES) == ["am", "iam", "iam_z"]
    assert list(optimizers) == list(OPTIMIZERS) == ["adam", "gradient", "normalized_gradient"]
    assert list(starts) == list(STARTS) == ["noise", "grey", "mean"]
    assert list(parametrizations) == list(PARAMETRIZATIONS) == ["pixels", "fourier"]


def test_every_data_source_has_a_reader():
    for section in SECTIONS:
        assert read_source.dispatch(section) is not read_source.dispatch(object), section


def test_unknown_architecture_is_refused_with_the_nearest_match():
    with pytest.raises(
        UserError,
        match=r"networks.small.model is 'vgg-16', which is not built in. Did you mean 'vgg16'\? Allowed are mlp",
    ):
        study(networks__small__model="vgg-16")


def test_config_check_imports_no_implementation():
    code = (
        "import sys, unitscope.config.models; "
        "sys.exit(bool({'torch', 'h5py', 'unitscope.networks.architectures'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_analysis_claims_and_their_tables_match_the_registry():
    assert {name for name, analysis in ANALYSES.items() if analysis.claim} == {
        claim.source for claim in ANALYSIS_CLAIMS.values()
    }
    for name, analysis in ANALYSES.items():
        read = {table for claim in ANALYSIS_CLAIMS.values() if claim.source == name for table in claim.tables}
        assert set(analysis.evidence) == read
