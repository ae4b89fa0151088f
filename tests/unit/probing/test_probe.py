"""Probe: a network opened at its layers, traced once, with the caller's module as it was."""

import copy
import re

import numpy as np
import pytest
import torch
from networks_by_hand import InPlace, Residual, Shared, opened, quiet
from torch import nn

from unitscope.errors import UserError
from unitscope.interventions.ablation import ablation_scores
from unitscope.interventions.cumulative_removal import cumulative_removal, joint_removal
from unitscope.interventions.rescaling import rescaled
from unitscope.interventions.scale import Stored, kept, regenerated
from unitscope.interventions.sets import removal
from unitscope.interventions.unit_scales import Scales
from unitscope.maximization.maximize import maximize
from unitscope.maximization.recipe import Recipe
from unitscope.networks.normalization import is_borrowed
from unitscope.probing import faithful
from unitscope.probing.activations import activations
from unitscope.probing.layer import LayerDescription
from unitscope.probing.probe import Probe
from unitscope.scores.predictors import weight_norms
from unitscope.scores.substitution import representative_substitution, substitution

SHAPE = (3, 8, 8)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(12) % 4
PIXELS = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255
FEW = Recipe(steps=4, points=2)


def whole_chain(probe: Probe, name: str) -> None:
    """Do everything with a layer that there is to do: activations, images, substitution, ablation, other scales."""
    layer = probe[name]
    (batch,) = activations(probe.layers, [IMAGES])
    units = np.arange(layer.units)
    for recipe in (FEW, Recipe(objective="iam", steps=4, points=2, precision="bfloat16", float32_steps=2)):
        images = maximize(layer, units, recipe, batch=4)
        representative_substitution(images.responses, units)
    substitution(images.responses, units)
    values, halves = np.zeros(layer.units), LABELS % 2
    ablation_scores(layer, [(IMAGES, LABELS)], {"": values}, halves)
    removal(layer, [(IMAGES, LABELS)], values, [[], [0, 1]])
    cumulative_removal(layer, [(IMAGES, LABELS)], values, [units.tolist()], [0, 2, layer.units])
    joint_removal([layer], [(IMAGES, LABELS)], {name: values}, [{name: units.tolist()}], [{name: 0}, {name: 2}])
    weight_norms(layer)
    if probe.traced is not None and name == "conv1":
        responses = batch[name]
        scales = Scales(np.zeros((4, 6)), responses.max(0) > 0, responses.mean(0), responses.std(0), responses.max(0))
        draw, sample = (0, 2.0 ** (units % 3)), (IMAGES, LABELS)
        rescaled(layer, draw[1]).cut()
        kept(layer, {"iam": Stored(units, images.images)}, scales, [draw], sample)
        regenerated(layer, units, {"iam_z": Recipe(objective="iam_z", steps=2, points=2)}, scales, draw)


@pytest.mark.filterwarnings("ignore:.*RS is undefined")
@pytest.mark.parametrize("layer", ["conv1", "fc"])
def test_whole_pipeline_traces_once(monkeypatch, layer):
    plain, traced = faithful.trace, []
    monkeypatch.setattr(faithful, "trace", lambda module: traced.append(module) or plain(module))
    symbolic = torch.fx.Tracer.trace
    runs = []
    monkeypatch.setattr(
        torch.fx.Tracer, "trace", lambda *arguments, **options: runs.append(1) or symbolic(*arguments, **options)
    )
    whole_chain(opened(quiet(Residual())), layer)
    assert len(traced) == len(runs) == 1


class Stateful(Residual):
    """In training mode, with gradients, hooks, an attribute that its passes change, and a branch on values."""

    def __init__(self, branch: bool = False) -> None:
        super().__init__()
        self.passes, self.branch, self.seen = 0, branch, []
        self.drop = nn.Dropout(0.5)
        self.register_buffer("count", torch.zeros(1))
        self.fc.register_forward_hook(lambda *_: None)
        self.conv1.register_full_backward_hook(lambda *_: None)

    def forward(self, x):
        self.passes += 1
        if self.training:
            self.count += 1
        if self.branch and x.sum() > 1e9:
            return x
        return super().forward(self.drop(x))


def everything_about(module: nn.Module) -> dict:
    """Return all that a probe may not change."""
    return {
        "state": {name: value.clone() for name, value in module.state_dict().items()},
        "identity": {name: id(value) for name, value in (*module.named_parameters(), *module.named_buffers())},
        "memory": {name: value.data_ptr() for name, value in module.state_dict().items()},
        "strides": {name: value.stride() for name, value in module.state_dict().items()},
        "gradients": {name: value.requires_grad for name, value in module.named_parameters()},
        "versions": {name: value._version for name, value in module.named_parameters()},
        "devices": {value.device for value in module.parameters()},
        "modes": [part.training for part in module.modules()],
        "hooks": [
            [len(hooks) for hooks in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)]
            for part in module.modules()
        ],
        "attributes": {name: str(value) for name, value in vars(module).items() if not name.startswith("_")},
        "class": [type(part) for part in module.modules()],
    }


def unchanged(before: dict, module: nn.Module, *but: str) -> bool:
    after = everything_about(module)
    assert all(torch.equal(value, after["state"][name]) for name, value in before["state"].items())
    return all(before[name] == after[name] for name in before if name not in ("state", *but))


@pytest.mark.parametrize("branch", [False, True])
@pytest.mark.parametrize("mode", [False, True])
def test_callers_module_is_unchanged(mode, branch):
    module = Stateful(branch).train(mode)
    # One part in another mode than the rest, and memory in two layouts.
    module.bn1.train(not mode)
    module.conv2.to(memory_format=torch.channels_last)
    before = everything_about(module)
    probe = opened(module)
    whole_chain(probe, "conv1")
    assert unchanged(before, module) and not is_borrowed(probe.module)
    # The other way round: training goes on, and the probe stays what it was opened as.
    expected = probe(PIXELS)
    with torch.no_grad():
        module.fc.weight.zero_()
    assert torch.equal(probe(PIXELS), expected)


@pytest.mark.parametrize("mode", [False, True])
def test_uncopyable_module_is_unchanged_after_each_pass(mode, caplog):
    module = Stateful().train(mode)
    module.bn1.train(not mode)
    plain = copy.deepcopy(module).eval()
    module.images_seen = (image for image in PIXELS)
    module.conv2.to(memory_format=torch.channels_last)
    before = everything_about(module)
    probe = opened(module)
    assert is_borrowed(probe.module) and "cannot be copied" in caplog.text and probe.traced is None
    torch.testing.assert_close(probe(PIXELS), plain(PIXELS))
    for layer in ("conv1", "fc"):
        maximize(probe[layer], np.arange(4), FEW)
        ablation_scores(probe[layer], [(IMAGES, LABELS)], {"": np.zeros(probe[layer].units)}, LABELS % 2)
    # What its own code notes in attributes stays.
    assert unchanged(before, module, "attributes") and module.passes > 0
    with pytest.raises(UserError, match="cannot be copied, so it computes in float32 alone"):
        maximize(probe["fc"], np.arange(2), Recipe(steps=4, points=2, precision="bfloat16", float32_steps=2))


def test_module_with_self_referencing_hooks_is_analyzed():
    module = quiet(Residual())
    module.fc.register_forward_hook(lambda _, inputs, output: output + module.fc.weight.sum() * module.relu(output))
    probe = opened(module)
    # The hook calls a module of the network itself, which a copy would not follow.
    assert is_borrowed(probe.module)
    torch.testing.assert_close(probe(PIXELS), module(PIXELS))


def test_callers_random_state_is_unchanged():
    modules = quiet(Residual()), nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(192, 2)).train()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    for module in modules:
        opened(module).layers[0].cut()
    maximize(opened(modules[0])["stem"], np.arange(2), FEW)
    assert torch.equal(torch.rand(3), expected)


# --- its arguments ---------------------------------------------------------------------------------------------------


def test_normalization_is_required():
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'mean' and 'std'"):
        Probe(quiet(Residual()), SHAPE)
    with pytest.raises(TypeError, match="'std'"):
        Probe(quiet(Residual()), SHAPE, mean=0)


@pytest.mark.parametrize(("mean", "std"), [(0.3, 0.2), ([0.3], 0.2), ([0.3, 0.4, 0.5], [0.1, 0.2, 0.3]), (0, 1)])
def test_images_are_passed_as_pixels(mean, std):
    module = quiet(Residual())
    center, spread = (torch.tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (mean, std))
    probe = Probe(module, SHAPE, mean, std)
    torch.testing.assert_close(probe(PIXELS), module((PIXELS - center) / spread))
    (batch,) = activations([probe["stem"]], [IMAGES])
    expected = torch.relu(module.stem((PIXELS - center) / spread)).mean((2, 3))
    np.testing.assert_allclose(batch["stem"], expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": [0.5, 0.5]}, r"mean is \[0.5, 0.5\]; give one number, or one for each of the 3 channels"),
        ({"std": [0.5, 0, 0.5]}, "std is .* greater than 0"),
        ({"mean": float("nan")}, "mean is nan"),
        ({"shape": (8, 8)}, r"shape is \(8, 8\); write \(channels, height, width\)"),
        ({"shape": (1, 3, 8, 8)}, "without a batch"),
        ({"model": "resnet18"}, "model is a str"),
        ({"output": "logits"}, r"Probe.output is 'logits', where the network gives no logits"),
        ({"examples": np.zeros((2, 3, 8, 8))}, r"give uint8 \(images, 8, 8, 3\)"),
    ],
)
def test_invalid_arguments_are_refused(changes, message):
    arguments = {"model": quiet(Residual()), "shape": SHAPE, "mean": 0, "std": 1} | changes
    with pytest.raises(UserError, match=message):
        Probe(**arguments)


def test_real_images_can_replace_noise_examples():
    class Bright(Residual):
        """Another network on bright images, which noise is not."""

        def forward(self, x):
            return super().forward(x if not bool((x > 0.99).all()) else x * 2)

    bright = np.full((2, 8, 8, 3), 255, np.uint8)
    assert Probe(quiet(Bright()), SHAPE, 0, 1, examples=bright).traced is None
    images = torch.ones(1, *SHAPE)
    probe, module = Probe(quiet(Bright()), SHAPE, 0, 1, examples=bright), quiet(Bright())
    cut = probe["stem"].cut()
    torch.testing.assert_close(cut.suffix(*cut.prefix(images)[1:]), module(images))


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_wrapped_networks_are_unwrapped(wrap):
    module = quiet(Residual())
    assert [layer.name for layer in opened(wrap(module))] == [layer.name for layer in opened(module)]


def test_a_network_without_logits_has_images_and_no_ablation():
    probe = opened(quiet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())))
    assert maximize(probe["0"], np.arange(4), FEW).responses.shape == (1, 4, 4)
    with pytest.raises(UserError, match="returns no logits"):
        ablation_scores(probe["0"], [(IMAGES, LABELS)], {"": np.zeros(4)}, LABELS % 2)


# --- its layers ------------------------------------------------------------------------------------------------------


def test_layers_are_listed_in_computation_order_with_descriptions():
    probe = opened(quiet(Residual()))
    assert [layer.name for layer in probe.layers] == ["stem", "conv1", "conv2", "fc"] == [each.name for each in probe]
    assert len(probe) == 4 and "conv1" in probe and "conv9" not in probe and "relu" not in probe
    layer = probe["conv1"]
    assert layer.described() == {
        **{"layer": "conv1", "depth": 2, "kind": "conv", "units": 6, "map": (8, 8), "signed": False}
    }
    assert layer == opened(quiet(Residual(), seed=1))["conv1"] != probe["stem"]
    assert probe.traced.describe(SHAPE) == probe.hooked.describe(SHAPE)
    assert all(isinstance(each, LayerDescription) for each in probe.traced.describe(SHAPE))
    assert repr(probe).splitlines()[:2] == [
        "Probe of Residual (traced), images (3, 8, 8)",
        "  stem: conv, 6 units of 8x8",
    ]
    assert repr(probe).endswith("fc: linear, 4 units, signed")


@pytest.mark.parametrize("use", ["item", "prefix", "readouts", "tapped", "cut", "held"])
def test_unknown_layer_error_names_the_nearest_match(use):
    probe = opened(quiet(Residual()))
    uses = {
        "item": lambda name: probe[name],
        "prefix": lambda name: probe.prefix(name, "mean"),
        "readouts": lambda name: probe.readouts([name], "mean"),
        "tapped": probe.tapped,
        "cut": probe.cut,
        "held": lambda name: probe.held([name]),
    }
    message = "There is no layer 'conv9' in this network. Did you mean 'conv2'? Its layers are: stem, conv1, conv2, fc."
    with pytest.raises(UserError, match=re.escape(message)):
        uses[use]("conv9")


def test_layer_methods_equal_network_methods_by_name():
    for network, name, shape in ((InPlace, "second", SHAPE), (Shared, "shared-call2", (3, 2, 2))):
        probe = opened(quiet(network()), shape)
        layer, images = probe[name], PIXELS[:, :, : shape[1], : shape[2]]
        for mine, theirs in zip(layer.prefix("max")(images), probe.prefix(name, "max")(images), strict=True):
            assert torch.equal(mine, theirs)
        assert torch.equal(layer.tapped().outputs(images), probe.tapped(name).outputs(images))
        removed, values = torch.arange(layer.units) == 1, torch.full((layer.units,), 0.7)
        held = layer.held()(images, removed, values)
        assert torch.equal(held, probe.held([name])(images, removed, values))
        assert not torch.equal(held, probe(images))


def test_a_copy_in_another_precision_has_the_same_layers():
    layer = opened(quiet(Residual()))["conv1"]
    half = layer.converted(torch.bfloat16)
    assert half == layer and [each.name for each in half.probe] == ["stem", "conv1", "conv2", "fc"]
    assert all(each.probe is half.probe for each in half.probe)
    tapped_values = half.tapped().outputs(PIXELS.bfloat16())
    assert tapped_values.dtype is torch.bfloat16 and layer.tapped().outputs(PIXELS).dtype is torch.float32
