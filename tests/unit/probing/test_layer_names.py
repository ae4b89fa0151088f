"""Names of layers that a network does not have, or that cannot be analyzed."""

import pytest

from unitscope.errors import UserError
from unitscope.probing.layer_names import refuse_unknown_layers


def test_excluded_layer_is_refused_with_the_reason():
    refuse_unknown_layers(["conv"], ["conv"], "Net", "layers", {"query": "its rows are not images"})
    with pytest.raises(UserError, match=r"^layers names 'query', which cannot be analyzed in .* Net: its rows are not"):
        refuse_unknown_layers(["conv", "query"], ["conv"], "Net", "layers", {"query": "its rows are not images"})


def test_unknown_layer_is_refused_with_the_nearest_match():
    for left_out in (None, {"query": "its rows are not images"}):
        with pytest.raises(UserError, match=r"does not have. Did you mean 'conv'"):
            refuse_unknown_layers(["conw"], ["conv"], "Net", "layers", left_out)
