"""Where a network's logits are in what it returns, and which of them is which class."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from networks_by_hand import Residual, quiet

from unitscope.errors import UserError
from unitscope.networks.building import normalized
from unitscope.networks.normalization import warn_of_probabilities
from unitscope.networks.outputs import Outputs, find_outputs, named_outputs, outputs_from

LOGITS, FEATURES, MAPS = torch.rand(2, 3), torch.rand(2, 8), torch.rand(2, 3, 4, 4)
CLASSES = ["ant", "bee", "cat"]
Named = namedtuple("Named", ["logits", "features"])


@dataclass
class ModelOutput:
    logits: torch.Tensor
    hidden_states: tuple[torch.Tensor, ...] = ()
    loss: torch.Tensor | None = None


def find(returned, classes=CLASSES, /, **settings):
    return find_outputs(returned, 2, classes, settings, "networks.own")


@pytest.mark.parametrize(
    ("returned", "path"),
    [
        (LOGITS, ()),
        ((LOGITS, FEATURES), (0,)),
        ([FEATURES, LOGITS], (1,)),
        ((FEATURES, (MAPS, LOGITS)), (1, 1)),
        ({"embedding": FEATURES, "out": LOGITS}, ("out",)),
        (Named(LOGITS, FEATURES), ("logits",)),
        (ModelOutput(LOGITS, (FEATURES, MAPS)), ("logits",)),
        ({"out": {"logits": LOGITS}, "count": 3, "of": torch.arange(2)}, ("out", "logits")),
    ],
)
def test_the_only_candidate_tensor_is_taken_as_logits(returned, path):
    outputs = find(returned)
    assert outputs.path == path and torch.equal(outputs(returned), LOGITS)
    assert outputs_from(outputs.described()) == outputs


def test_logits_of_a_convolution_are_flattened():
    assert torch.equal(find(LOGITS[..., None, None])(LOGITS[..., None, None]), LOGITS)
    assert find(LOGITS).flat is False


def test_one_of_several_outputs_must_be_named():
    returned = {"a": LOGITS, "b": 2 * LOGITS}
    with pytest.raises(UserError, match=r"gives a \(2, 3\), b \(2, 3\), several of which.*output: a"):
        find(returned)
    assert torch.equal(find(returned, output="b")(returned), 2 * LOGITS)
    assert torch.equal(find((LOGITS, 2 * LOGITS), output=1)((LOGITS, 2 * LOGITS)), 2 * LOGITS)
    with pytest.raises(UserError, match=r"output is 'c', where the network gives no logits.*a \(2, 3\)"):
        find(returned, output="c")


@pytest.mark.parametrize("returned", [MAPS, "text", torch.rand(2), {"a": torch.arange(6).view(2, 3)}, None])
def test_networks_that_are_not_classifiers_are_refused(returned):
    with pytest.raises(UserError, match=r"networks.own: the network gives .*none of which is \(images, classes\)"):
        find(returned)


@pytest.mark.parametrize(
    ("count", "classes", "message"),
    [
        (10, ["cat", "dog"], r"has 10 outputs, and the data set 2 classes.*classes: \[...\]"),
        (1, ["cat", "dog"], r"has 1 output, and the data set 2 classes.*logit of one of them"),
        (4, CLASSES, r"has 4 outputs, and the data set 3 classes.*background"),
        (2, CLASSES, r"has 2 outputs, and the data set 3 classes.*head: \{fit: linear\}"),
    ],
)
def test_a_mismatch_of_outputs_and_classes_is_refused_with_a_fix(count, classes, message):
    with pytest.raises(UserError, match=message):
        find(torch.rand(2, count), classes)


def test_outputs_are_matched_by_their_names():
    values = torch.rand(2, 5)
    outputs = find(values, ["cat", "ant"], classes=["background", "ant", "bee", "cat", "dog"])
    assert torch.equal(outputs(values), values[:, [3, 1]]) and outputs_from(outputs.described()) == outputs
    with pytest.raises(UserError, match=r"lacks 'cow', a class of the data set"):
        find(values, ["cow", "cat"], classes=["background", "ant", "bee", "cat", "dog"])
    with pytest.raises(UserError, match=r"names 4 classes, and the network has 5 outputs"):
        find(values, ["ant", "cat"], classes=["ant", "bee", "cat", "dog"])


def test_one_output_is_the_logit_of_the_second_class():
    values = torch.randn(2, 1)
    outputs = find(values, ["cat", "dog"], classes=["cat", "dog"])
    assert torch.allclose(outputs(values).softmax(1)[:, 1:], values.sigmoid())
    turned = find(values, ["cat", "dog"], classes=["dog", "cat"])
    assert torch.allclose(turned(values).softmax(1)[:, :1], values.sigmoid())


def test_probabilities_are_converted_to_logits():
    probabilities = torch.randn(2, 3).softmax(1)
    assert torch.allclose(find(probabilities, outputs="probabilities")(probabilities).softmax(1), probabilities)
    single = torch.rand(2, 1)
    outputs = find(single, ["cat", "dog"], outputs="probabilities", classes=["cat", "dog"])
    assert torch.allclose(outputs(single).softmax(1)[:, 1:], single)
    # What is rounded to 0 and to 1 keeps finite losses.
    assert outputs(torch.tensor([[0.0], [1.0]])).isfinite().all()


def test_outputs_that_look_like_probabilities_raise_a_warning(caplog):
    class Soft(Residual):
        def forward(self, x):
            return super().forward(x).softmax(1)

    images = torch.rand(3, 3, 8, 8)
    for network, warned in ((Residual(), False), (Soft(), True)):
        caplog.clear()
        module = normalized(quiet(network), (3, 8, 8), ([0.5] * 3, [0.5] * 3), {}, list("abcd"))
        warn_of_probabilities(module, images)
        assert ("outputs: probabilities" in caplog.text) == warned


def test_an_unsupported_image_size_is_refused_with_the_models_option():
    from unitscope.networks.building import build

    settings = {"source": "torchvision", "model": "vit_b_16", "options": {}, "head": None}
    with torch.device("meta"):
        network = build(settings, (3, 64, 64), 3)
    with pytest.raises(UserError, match=r"Expected 224 but got 64.*Set options: \{image_size: 64\}"):
        normalized(network, (3, 64, 64), ([0.5] * 3, [0.5] * 3), settings, CLASSES)


def test_class_names_of_weights_are_compared_with_the_data_set(caplog):
    names = ["ant", "bee", "crane", "crane"]
    assert named_outputs(names, ["bee", "ant"], "x") == names
    assert named_outputs(names, ["crane", "ant"], "x") is None
    assert named_outputs([], CLASSES, "x") is None and not caplog.text
    assert named_outputs(CLASSES, CLASSES, "x") == CLASSES and not caplog.text
    assert named_outputs(["ant", "bee", "cow"], ["ant", "wasp", "cat"], "x.pt") is None
    assert "output 1 is 'bee', class 1 is 'wasp'" in caplog.text and "networks.NAME.classes" in caplog.text


def test_outputs_in_training_may_include_auxiliary_logits():
    assert Outputs()(Named(LOGITS, FEATURES)) is LOGITS
