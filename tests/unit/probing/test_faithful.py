"""Every form of a network computes what the network computes, or another form is taken, or it is refused."""

import re

import numpy as np
import pytest
import torch
from networks_by_hand import Residual, opened, quiet
from random_networks import STEPS, random_network
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from unitscope.errors import UserError
from unitscope.interventions.ablation import ablation_scores
from unitscope.maximization.maximize import maximize
from unitscope.maximization.passes import passes
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.targets import target_unit, whole_layer
from unitscope.networks.building import accept_pixels, freeze, normalized
from unitscope.networks.closeness import close, same_logits
from unitscope.networks.layouts import arrange
from unitscope.networks.normalization import is_borrowed, layout_of
from unitscope.probing import parts, repeats, traced
from unitscope.probing.activations import activations
from unitscope.probing.layer import read_out
from unitscope.probing.probe import Probe
from unitscope.probing.repeats import check_repeats
from unitscope.probing.tracing import trace
from unitscope.runtime.devices import pixels

SIZE = (3, 8, 8)
IMAGES = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))
CASES = [(0, step) for step in STEPS if step != "half"] + [(seed, None) for seed in range(1, 13)]


def plain_run(module, images):
    """Return what a network gives by itself, and the outputs of its layers, in the order of computation."""
    outputs, handles = [], []
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            keep = part.register_forward_hook(lambda _, __, out, name=name: outputs.append((name, out.clone())))
            handles.append(keep)
    logits = module(images)
    for handle in handles:
        handle.remove()
    return logits, outputs


@pytest.mark.parametrize(("seed", "step"), CASES)
def test_random_networks_are_equal_in_every_form(seed, step):
    expected, outputs = plain_run(random_network(seed, step), IMAGES)
    module = random_network(seed, step)
    probe = opened(module)
    assert close(probe(IMAGES), expected)
    forms = [probe.traced, probe.hooked] if probe.traced else [probe.hooked]
    descriptions = [layer.described() for layer in probe]
    assert all([layer.described() for layer in form.describe(SIZE)] == descriptions for form in forms)
    assert [layer.name.partition("-call")[0] for layer in probe] == [name for name, _ in outputs]
    images = IMAGES.clone().contiguous(memory_format=layout_of(probe.module)).requires_grad_()
    for layer, (_, output) in zip(probe, outputs, strict=True):
        axis = layer.axis
        before, after = layer.prefix("mean")(images)
        if not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
            assert close(before, read_out(output, axis, "mean"))
        clamped = clamp(layer.cut(), images.detach(), axis)
        for form in forms:
            prefix_values = form.prefix(layer.name, "mean")(images)
            assert close(prefix_values[0], before) and close(prefix_values[1], after)
            assert gradient_of(prefix_values[1], images) is None or close(
                gradient_of(prefix_values[1], images), gradient_of(after, images)
            )
            targets = torch.arange(len(images)) % layer.units
            target_values = [readout.gather(1, targets[:, None])[:, 0] for readout in (before, after)]
            target_before, target_after = target_unit(form.tapped(layer.name), "mean")(images, targets)
            assert close(target_before, target_values[0]) and close(target_after, target_values[1])
            target_before, all_after = whole_layer(form.tapped(layer.name), "mean")(images, targets)
            assert close(target_before, target_values[0]) and close(all_after, after)
            cut = form.cut(layer.name)
            activation, start, *live = cut.prefix(images.detach())
            assert close(cut.suffix(start, *live), expected)
            assert close(clamp(cut, images.detach(), axis), clamped)
            assert layer.signed or bool((activation >= 0).all())


def clamp(cut, images, axis):
    """Return the logits with unit 1 at 0.7."""
    activation, start, *live = cut.prefix(images)
    unit_values = activation.narrow(axis, 1, 1)
    clamped_values = torch.full_like(unit_values, 0.7)
    if cut.change is not None:
        return cut.suffix(start + cut.change(1, unit_values, clamped_values), *live)
    start = start.clone()
    start.narrow(axis, 1, 1).copy_(clamped_values)
    return cut.suffix(start, *live)


def gradient_of(values, images):
    """Return the gradient of a readout; None where autograd itself has none."""
    try:
        return torch.autograd.grad(values.square().sum(), images, retain_graph=True)[0]
    except RuntimeError:
        return None


def test_network_with_half_precision_rounding_has_a_faithful_form():
    module = random_network(0, "half")
    expected = module(IMAGES)
    cut = opened(module)["steps.1.conv"].cut()
    assert (cut.suffix(*cut.prefix(IMAGES)[1:]) - expected).abs().max() < 0.01 * expected.abs().max()


def test_most_of_these_networks_are_traced():
    # Or the test above would compare hooks with themselves.
    traced = [step for step in STEPS if trace(random_network(0, step)) is not None]
    assert {"preactivation_after_a_convolution", "kind", "gated", "read_twice", "alias_changed_in_place"} <= set(traced)
    assert len(traced) > 0.7 * len(STEPS)


def test_in_place_change_of_a_later_input_affects_the_gradient():
    module = random_network(0, "preactivation_in_place")
    images = IMAGES.clone().requires_grad_()
    expected = torch.autograd.grad(module(images).square().sum(), images)[0]
    cut = opened(module)["steps.1.conv"].cut()
    _, *live = cut.prefix(images)
    assert close(torch.autograd.grad(cut.suffix(*live).square().sum(), images)[0], expected)


class Counting(nn.Module):
    """Takes the other branch when it is traced, as code that asks for the type of a tensor may."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.conv(x * 2 if type(x) is torch.Tensor else x))
        return self.last(x.mean((2, 3)))


def test_network_changed_by_tracing_is_analyzed_through_hooks(caplog):
    module = quiet(Counting())
    graph, images = trace(module), torch.rand(3, *SIZE)
    assert not close(graph(images), module(images))
    probe = opened(module)
    assert probe.traced is None and "computes something else once torch.fx has traced it" in caplog.text
    for read in (probe["conv"].prefix("mean"), probe.hooked.prefix("conv", "mean")):
        assert close(read(images)[1], torch.relu(module.conv(images * 2)).mean((2, 3)))
    cut = probe["conv"].cut()
    assert close(cut.suffix(*cut.prefix(images)[1:]), module(images))


def of_a_generator(x):
    return torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(1))


def of_the_seed(x):
    torch.manual_seed(0)
    return torch.randn(x.shape[1:])


class FixedNoise(Residual):
    """Adds random numbers that are the same in every pass."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, x):
        return super().forward(x + self.draw(x))


@pytest.mark.parametrize("draw", [of_a_generator, of_the_seed])
def test_seeded_random_numbers_are_equal_in_every_pass(draw):
    # A graph would draw from the generator that it holds, or from torch's, without setting the seed again.
    module = quiet(FixedNoise(draw))
    check_repeats(module, IMAGES)
    probe = opened(module)
    assert probe.traced is None
    expected, outputs = plain_run(module, IMAGES)
    read, cut = probe.readouts(["stem"], "mean"), probe["stem"].cut()
    for _ in range(3):
        assert close(read(IMAGES)[0], torch.relu(dict(outputs)["stem"]).mean((2, 3)))
        _, start, *live = cut.prefix(IMAGES)
        assert close(cut.suffix(start, *live), expected)


class Viewing(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv, self.second, self.last = nn.Conv2d(channels, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(64, 3)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.conv(x))))
        return self.last(x.view(x.size(0), -1))


def test_a_view_after_a_convolution_runs_in_the_contiguous_layout(caplog):
    module, images = freeze(quiet(Viewing())), torch.rand(3, *SIZE).contiguous(memory_format=torch.channels_last)
    expected = quiet(Viewing())(images.contiguous())
    with pytest.raises(RuntimeError):
        module(images)
    check_repeats(module, images)
    probe = opened(freeze(module))
    assert probe.traced and layout_of(probe.module) is torch.contiguous_format
    assert "runs in the contiguous one" in caplog.text
    assert close(probe.held([])(images), expected)
    generated = maximize(probe["second"], np.arange(2), Recipe(steps=2, points=2))
    stored_images = torch.from_numpy(generated.images[0]).permute(0, 3, 1, 2).float() / 255
    values = torch.relu(module.second(torch.relu(module.conv(stored_images)))).mean((2, 3))
    assert module.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(generated.responses[0], values.numpy(), rtol=1e-4, atol=1e-6)


def test_single_channel_images_are_converted_to_the_memory_layout():
    # Its memory is the same in both: what decides is strides.
    module, batch = quiet(Viewing(1)), np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    images = pixels(batch, torch.device("cpu"))
    expected = quiet(Viewing(1))(torch.from_numpy(batch).permute(0, 3, 1, 2).float().reshape(3, 1, 8, 8) / 255)
    check_repeats(module, images)
    probe = opened(freeze(module), (1, 8, 8))
    assert probe.traced and layout_of(probe.module) is torch.contiguous_format and close(probe(images), expected)
    cut = probe["second"].cut()
    assert close(cut.suffix(*cut.prefix(images)[1:]), expected)
    for layout, strides in ((torch.channels_last, (9, 1, 3, 1)), (torch.contiguous_format, (9, 9, 3, 1))):
        assert arrange(module, layout).conv.weight.stride() == strides


class Changing(nn.Module):
    """Another network in each pass, as code with a state of its own may be."""

    def __init__(self):
        super().__init__()
        self.conv, self.last, self.passes = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), 0

    def forward(self, x):
        self.passes += 1
        return self.last(torch.relu(self.conv(x)).mean((2, 3))) * self.passes


def test_network_without_a_faithful_form_is_refused():
    with pytest.raises(UserError, match="in every way that there is to follow them"):
        opened(quiet(Changing()))


def test_checking_does_not_modify_the_network():
    module = quiet(Residual())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    attributes = set(vars(module))
    Probe.owning(accept_pixels(module, [0.0] * 3, [1.0] * 3), torch.rand(3, *SIZE))
    assert set(vars(module)) == attributes and type(module) is Residual
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_wrong_batch_norm_folding_falls_back_to_the_modules(monkeypatch, caplog):
    module, images = quiet(Residual()), torch.rand(3, *SIZE)
    probe = opened(module)
    monkeypatch.setattr(parts, "fuse_conv_bn_eval", lambda conv, norm: nn.Conv2d(6, 6, 3, padding=1, bias=False))
    cut = probe["conv1"].tapped()
    assert cut.filters is None and "once its batch norm is folded in" in caplog.text
    assert close(cut.outputs(images), module.bn1(module.conv1(torch.relu(module.stem(images)))))


def test_unit_change_shortcut_is_verified(monkeypatch, caplog):
    modules = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    layer = opened(quiet(nn.Sequential(*modules)))["0"]
    assert layer.cut().change is not None
    monkeypatch.setattr(traced, "_change", lambda reader, carry: lambda unit, before, after: torch.zeros(3, 4, 4, 4))
    assert layer.cut().change is None and "computed by the whole layer" in caplog.text


# --- networks that do not repeat themselves --------------------------------------------------------------------------


class Part(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def inside(part):
    """Return a network with a part after its convolution."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), part, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return quiet(module)


BATCH_STATISTICS = nn.BatchNorm2d(4, track_running_stats=False)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Part(lambda x: F.dropout(x, 0.5)), "randomness"),
        (Part(lambda x: x + torch.randn_like(x)), "randomness"),
        (Part(lambda x: torch.rrelu(x - 1, 0.1, 0.9, True)), "randomness"),
        (BATCH_STATISTICS, "batch_dependence"),
        (Part(lambda x: x - x.mean(0)), "batch_dependence"),
        (Part(lambda x: x / x.amax()), "batch_dependence"),
        # The first image is the same alone.
        (Part(lambda x: x * torch.arange(1.0, 1 + len(x))[:, None, None, None]), "batch_dependence"),
        (Part(lambda x: torch.cat([x[:1], x[:-1] + x[1:]])), "batch_dependence"),
        (Part(lambda x: x + torch.randn(x.shape, generator=torch.Generator().manual_seed(3))), "batch_dependence"),
    ],
)
def test_nondeterministic_network_is_refused_by_module_name(part, reason):
    module = inside(part)
    with pytest.raises(UserError, match=rf"from the module '2' on.*allow: \[{reason}\]"):
        check_repeats(module, IMAGES)
    check_repeats(module, IMAGES, [reason])


def test_a_module_that_stays_in_training_mode_is_detected():
    class Sampling(Residual):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def train(self, mode=True):
            super().train(mode)
            self.drop.train()
            return self

        def forward(self, x):
            return self.fc(self.drop(self.stem(x)).mean((2, 3)))

    with pytest.raises(UserError, match=r"from the module 'drop' on.*draws random numbers"):
        check_repeats(freeze(accept_pixels(quiet(Sampling()), [0.5] * 3, [0.5] * 3)), IMAGES)


def test_functions_are_located_by_the_next_called_module():
    class Dropping(Residual):
        def forward(self, x):
            return self.fc(F.dropout(self.stem(x)).mean((2, 3)))

    with pytest.raises(UserError, match="from the input of the module 'fc' on"):
        check_repeats(quiet(Dropping()), IMAGES)


@pytest.mark.parametrize("seed", range(4))
def test_deterministic_networks_are_accepted(seed):
    check_repeats(random_network(seed), IMAGES)


def test_networks_with_allowed_randomness_are_still_checked():
    opened(inside(Part(lambda x: F.dropout(x, 0.5))))


# --- networks that cannot be followed, and values that are not finite ------------------------------------------------


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_script_module_is_refused_with_an_alternative():
    module = torch.jit.script(quiet(Residual()))
    for use in (lambda: accept_pixels(module, [0.0] * 3, [1.0] * 3), lambda: opened(module)):
        with pytest.raises(UserError, match=r"is a ScriptModule.*source: exported"):
            use()


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_values_that_are_not_finite_are_refused_with_their_layer(value):
    module = quiet(Residual())
    module.conv2.weight.data[0, 0, 0, 0] = value
    with pytest.raises(UserError, match=r"not finite .* in layer conv2"):
        opened(module)


def test_overflow_is_reported_as_overflow_and_not_as_a_difference():
    # Beyond float32, a convolution of one image may be infinite where that of several is undefined.
    module = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, 3))
    module = module.eval().requires_grad_(False)
    with torch.no_grad():
        module[0].weight.fill_(3e38)
    for check in (lambda: check_repeats(module, IMAGES), lambda: opened(module)):
        with pytest.raises(UserError, match=r"not finite .* in layer 0"):
            check()


# --- whose functions take a network of the user's own -----------------------------------------------------------------


def test_functions_of_the_package_check_a_network_first():
    module, batch = freeze(quiet(Counting())), np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    probe = opened(module)
    (batch_activations,) = activations([probe["conv"]], [batch])
    images = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
    assert np.allclose(batch_activations["conv"], torch.relu(module.conv(images * 2)).mean((2, 3)).numpy(), rtol=1e-4)
    assert [layer.name for layer in probe] == ["conv", "last"] and probe.traced is None


# --- names of one's own ----------------------------------------------------------------------------------------------


class CollidingNames(nn.Module):
    """Has attributes of every name that a network in front of it might use."""

    def __init__(self):
        super().__init__()
        for name in ("pixel_mean", "pixel_std", "mean", "std"):
            self.register_buffer(name, torch.full((3, 1, 1), 0.3))
        self.network, self.wrapped, self.outputs = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, pixels):
        x = (pixels - self.pixel_mean - self.mean) / (self.pixel_std + self.std)
        return self.outputs(torch.relu(self.wrapped(torch.relu(self.network(x)))).mean((2, 3)))


def test_attribute_names_of_a_network_never_collide_with_the_wrapper():
    plain = CollidingNames().eval().requires_grad_(False)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    scale = [torch.tensor(values).view(3, 1, 1) for values in (mean, std)]
    expected = plain((IMAGES - scale[0]) / scale[1])
    module = freeze(normalized(plain, SIZE, (mean, std), {}, ["a", "b", "c"]))
    probe = Probe.owning(module, IMAGES)
    assert close(module(IMAGES), expected) and probe.traced
    assert [layer.name for layer in probe] == ["network", "wrapped", "outputs"]
    assert module.get_submodule("wrapped") is plain.wrapped and module.state_dict().keys() == plain.state_dict().keys()
    for way in (probe.traced, probe.hooked):
        cut = way.cut("wrapped")
        assert close(cut.suffix(*cut.prefix(IMAGES)[1:]), expected)


def test_a_forward_pass_that_is_set_on_the_object_is_run():
    plain = quiet(Residual())
    plain.forward = lambda x: plain.fc(torch.relu(plain.stem(x)).mean((2, 3)))
    expected = plain.forward((IMAGES - 0.5) / 2)
    owned = Probe.owning(accept_pixels(plain, [0.5] * 3, [2.0] * 3), IMAGES)
    # A copy would run the forward pass of the network that it is a copy of.
    borrowed = Probe(plain, SIZE, mean=0.5, std=2)
    assert is_borrowed(borrowed.module) and not is_borrowed(owned.module)
    for probe in (owned, borrowed):
        assert close(probe(IMAGES), expected)
        cut = probe["stem"].cut()
        assert close(cut.suffix(*cut.prefix(IMAGES)[1:]), expected)


# --- layers whose weights are made of others --------------------------------------------------------------------------


def pruned(module):
    prune.l1_unstructured(module, "weight", 0.5)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize(
    "change",
    [pruned, nn.utils.weight_norm, nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm],
)
def test_convolutions_with_weights_that_are_computed(change):
    module = Residual()
    change(module.conv1)
    change(module.stem)
    module = module.eval().requires_grad_(False)
    expected = module(IMAGES)
    probe = opened(module)
    assert close(probe(IMAGES), expected)
    for layer in (probe["stem"], probe["conv1"]):
        cut = layer.cut()
        assert close(cut.suffix(*cut.prefix(IMAGES)[1:]), expected)
        for objective in ("am", "iam"):
            images = IMAGES.clone().requires_grad_()
            targets = torch.arange(4)
            value = passes(layer, Recipe(objective=objective))(images, targets)
            _, after = layer.prefix("mean")(images)
            expected_values = after.gather(1, targets[:, None])[:, 0]
            if objective == "iam":
                expected_values = expected_values - (after.sum(1) - expected_values) / (after.shape[1] - 1)
            silent = after.gather(1, targets[:, None])[:, 0] <= 0
            assert close(value[~silent], expected_values[~silent])
            assert torch.autograd.grad(value.sum(), images)[0].isfinite().all()


class InnerGradient(Residual):
    """Its features are the gradient of a sum of activations, as of an energy."""

    def forward(self, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (x,) = torch.autograd.grad(F.softplus(self.stem(x)).sum(), x, create_graph=True)
        return super().forward(x)


def test_a_network_may_take_gradients_within_its_forward_pass():
    module = quiet(InnerGradient())
    probe = opened(module)
    assert close(probe(IMAGES), module(IMAGES))
    image_bytes, labels = (255 * IMAGES).byte().permute(0, 2, 3, 1).numpy(), np.arange(4)
    logits = module(pixels(image_bytes, torch.device("cpu"))).detach()
    (batch_activations,) = activations([probe["fc"]], [image_bytes])
    assert close(torch.from_numpy(batch_activations["fc"]), logits)
    effects = ablation_scores(probe["fc"], [(image_bytes, labels)], {"": np.zeros(4)}, labels % 2)[""].loss
    for unit in range(4):
        clamped, unclamped = (
            F.cross_entropy(values, torch.from_numpy(labels))
            for values in (logits.index_fill(1, torch.tensor(unit), 0.0), logits)
        )
        assert abs(float(clamped - unclamped) - effects[unit]) < 1e-5


class Volumes(nn.Module):
    """Its first layer is a 3-D convolution."""

    def __init__(self):
        super().__init__()
        self.volume, self.conv, self.last = nn.Conv3d(1, 4, 3, padding=1), nn.Conv2d(12, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.relu(self.conv(torch.relu(self.volume(x[:, None])).flatten(1, 2))).mean((2, 3)))


def test_a_network_with_3d_convolutions_runs():
    probe = opened(freeze(quiet(Volumes())))
    assert probe.traced and [layer.name for layer in probe] == ["conv", "last"]


class WithoutGradients(Residual):
    def forward(self, x):
        with torch.no_grad():
            x = torch.relu(self.stem(x))
        return self.fc(torch.relu(self.bn1(self.conv1(x))).mean((2, 3)))


class Detached(Residual):
    def forward(self, x):
        return self.fc(torch.relu(self.bn1(self.conv1(torch.relu(self.stem(x)).detach()))).mean((2, 3)))


class NumbersOut(Residual):
    def forward(self, x):
        x = torch.relu(self.stem(x))
        return self.fc(torch.relu(self.bn1(self.conv1(torch.from_numpy(x.detach().numpy())))).mean((2, 3)))


@pytest.mark.parametrize("network", [Detached, NumbersOut])
def test_layer_without_gradients_is_named(network):
    with pytest.raises(UserError, match=r"layer conv1.*no gradient.*detach"):
        maximize(opened(quiet(network()))["conv1"], np.arange(2), Recipe(steps=2, points=2))
    maximize(opened(quiet(network()))["stem"], np.arange(2), Recipe(steps=2, points=2))


def test_a_backbone_without_gradients_is_followed_with_them():
    generated = maximize(opened(quiet(WithoutGradients()))["conv1"], np.arange(2), Recipe(steps=8, points=2))
    assert (generated.objective[..., -1] > generated.objective[..., 0]).all()


class Permuted(nn.Module):
    """A rectified linear layer over the channels of an image, which come last."""

    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(3, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.last(torch.relu(self.inner(x.permute(0, 2, 3, 1))).mean((1, 2)))


@pytest.mark.parametrize("objective", ["am", "iam"])
def test_a_rectified_linear_layer_on_a_permuted_image(objective):
    layer, targets = opened(quiet(Permuted()))["inner"], torch.arange(4)
    _, after = layer.prefix("mean")(IMAGES)
    target_responses = after.gather(1, targets[:, None])[:, 0]
    expected = target_responses if objective == "am" else target_responses - (after.sum(1) - target_responses) / 4
    value = passes(layer, Recipe(objective=objective))(IMAGES, targets)
    assert bool((target_responses > 0).any()) and close(value[target_responses > 0], expected[target_responses > 0])


def test_determinism_check_stores_one_image_per_layer():
    # All inputs and outputs of all images would be gigabytes of a large network.
    module, sizes = quiet(Residual()), []
    keep = repeats.record

    def run(*arguments, **options):
        values = keep(*arguments, **options)
        sizes.extend(len(value) for path, value in values if path)
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "record", run)
        check_repeats(module, IMAGES)
    assert sizes and set(sizes) == {1}


# --- layers without one row for each image ---------------------------------------------------------------------------


class Rows(nn.Module):
    """A network with convolutions a and b and a linear layer mid, in some way of handling a batch."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1)
        self.mid, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

    def features(self, x):
        return torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3))

    def forward(self, x):
        return self.last(torch.relu(self.mid(self.features(x))))


class LoopOverImages(Rows):
    def forward(self, x):
        return torch.cat([super(LoopOverImages, self).forward(x[i : i + 1]) for i in range(len(x))])


class LoopOverParts(Rows):
    def forward(self, x):
        return torch.cat([super(LoopOverParts, self).forward(part) for part in x.split(4)])


class SequenceFirst(Rows):
    def __init__(self):
        super().__init__()
        self.memory = nn.LSTM(6, 6)

    def forward(self, x):
        states, _ = self.memory(self.features(x)[None])
        return self.last(torch.relu(self.mid(states))[0])


class LearnedQuery(Rows):
    def __init__(self):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, 6))

    def forward(self, x):
        return self.last(self.features(x) * self.mid(self.query)[:, 0])


class Turned(Rows):
    def forward(self, x):
        return self.last(torch.relu(self.mid(self.features(x).flip(0))).flip(0))


class Centered(Rows):
    """The means over the maps of b are 0 but for rounding."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(6, 6, 1, bias=False)

    def features(self, x):
        return self.b(F.instance_norm(self.a(x))).square().mean((2, 3))


class EarlyExit(Rows):
    """Ends after its first convolution where an image is bright."""

    def forward(self, x):
        shallow = self.a(x)
        if x.mean() > 0.7:
            return self.last(shallow.mean((2, 3)))
        return self.last(torch.relu(self.mid(torch.relu(self.b(torch.relu(shallow))).mean((2, 3)))))


class Experts(Rows):
    """Every image goes to one of two linear layers."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(6, 6)

    def forward(self, x):
        values = self.features(x)
        out = torch.zeros_like(values)
        bright = x.mean((1, 2, 3)) > 0.7
        for chosen, expert in ((bright, self.mid), (~bright, self.other)):
            if chosen.any():
                out = out.index_put((chosen,), torch.relu(expert(values[chosen])))
        return self.last(out)


class Mapped(Rows):
    """Its convolutions see one image at a time, within torch.vmap."""

    def forward(self, x):
        return self.last(torch.relu(self.mid(torch.vmap(self.features)(x))))

    def features(self, x):
        return torch.relu(self.b(torch.relu(self.a(x)))).mean((1, 2))


class Complex(Rows):
    """Its first convolution and its linear layer give complex numbers."""

    def __init__(self):
        super().__init__()
        self.a, self.mid = self.a.to(torch.cfloat), self.mid.to(torch.cfloat)

    def features(self, x):
        return torch.relu(self.b(self.a(x.to(torch.cfloat)).abs())).mean((2, 3)).to(torch.cfloat)

    def forward(self, x):
        return self.last(self.mid(self.features(x)).abs())


BRIGHT_FIRST = torch.cat([0.9 + 0.1 * IMAGES[:1], 0.5 * IMAGES[1:3]])


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize(
    ("network", "expected", "reason"),
    [
        (Rows, ["a", "b", "mid", "last"], ""),
        (Centered, ["a", "b", "mid", "last"], ""),
        (LoopOverImages, [], "shape"),
        (LoopOverParts, [], "called once for all|shape"),
        (SequenceFirst, ["a", "b", "last"], r"shape \(1, 5, 6\) for 5 images"),
        (LearnedQuery, ["a", "b", "last"], r"shape \(1, 1, 6\) for 5 images"),
        (Turned, ["a", "b", "last"], "among others"),
        (EarlyExit, ["last"], "called once for all|differs between images"),
        (Experts, ["a", "b", "last"], "called once for all|shape"),
        (Complex, ["b", "last"], "complex numbers"),
    ],
)
def test_layers_without_one_row_for_each_image_are_left_out_with_a_reason(network, expected, reason):
    torch.manual_seed(0)
    probe = Probe.owning(accept_pixels(quiet(network()), [0.0] * 3, [1.0] * 3), BRIGHT_FIRST)
    assert [layer.name for layer in probe] == expected
    messages = {path: message for path, message in probe.left_out.items() if path in ("a", "b", "mid", "last")}
    assert set(messages) == {"a", "b", "mid", "last"} - set(expected)
    for layer, message in messages.items():
        assert re.search(reason, message)
        uses = [
            lambda layer=layer: probe.readouts([layer], "mean"),
            lambda layer=layer: probe.prefix(layer, "mean"),
            lambda layer=layer: probe.cut(layer),
            lambda layer=layer: probe.held([layer]),
            lambda layer=layer: probe.tapped(layer),
            lambda layer=layer: probe[layer],
        ]
        for use in uses:
            with pytest.raises(UserError, match=f"The layer '{layer}' has no activation for each image: .*({reason})"):
                use()


def test_layers_within_a_function_of_torch_func_are_left_out():
    module = quiet(Mapped())
    check_repeats(module, IMAGES)
    probe = opened(module)
    assert close(probe(IMAGES), module(IMAGES))
    assert [layer.name for layer in probe] == ["mid", "last"] and set(probe.left_out) == {"a", "b"}
    cut = probe["mid"].cut()
    assert close(cut.suffix(*cut.prefix(IMAGES)[1:]), module(IMAGES))
    with pytest.raises(UserError, match="There is no layer 'a'"):
        probe.readouts(["a"], "mean")
    with pytest.raises(UserError, match="There is no layer 'a'"):
        probe.hooked.readouts(["a"], "mean")(IMAGES)


class Inference(Rows):
    """Untraceable, with a backbone in the inference mode, whose tensors do not count their changes in place."""

    def features(self, x):
        with torch.inference_mode():
            x = self.a(x)
            x[x < -9] = 0
            return torch.relu(self.b(torch.relu_(x))).mean((2, 3))


def test_a_network_with_layers_in_the_inference_mode_is_followed():
    module = quiet(Inference())
    expected, outputs = plain_run(module, IMAGES)
    probe = opened(module)
    assert probe.traced is None
    signed_layers = {layer.name: layer.signed for layer in probe}
    assert signed_layers == {"a": True, "b": False, "mid": False, "last": True}
    for layer in ("b", "mid"):
        (read,) = probe.readouts([layer], "max")(IMAGES)
        assert close(read, read_out(torch.relu(dict(outputs)[layer]), 1, "max"))
    cut = probe["b"].cut()
    activation, *live = cut.prefix(IMAGES)
    assert close(cut.suffix(*live), expected)
    assert close(
        cut.suffix(torch.zeros_like(activation), live[1]), module.last(torch.relu(module.mid(torch.zeros(4, 6))))
    )


def test_layer_reached_differently_by_later_images_is_refused():
    # None of the examples leaves early.
    probe = Probe.owning(accept_pixels(quiet(EarlyExit()), [0.0] * 3, [1.0] * 3), 0.5 * IMAGES)
    assert [layer.name for layer in probe] == ["a", "b", "mid", "last"]
    for layer, words in (("b", "not on these images"), ("a", "the nonlinearity after it is missing")):
        read = probe.readouts([layer], "mean")
        assert read(0.5 * IMAGES)[0].shape == (4, 6)
        with pytest.raises(UserError, match=words):
            read(BRIGHT_FIRST[:1])


def test_layer_that_receives_partial_batches_is_refused():
    class Halves(Rows):
        def forward(self, x):
            return torch.cat([super(Halves, self).forward(part) for part in x.split(8)])

    read = opened(quiet(Halves())).readouts(["b"], "mean")
    assert read(IMAGES)[0].shape == (4, 6)
    with pytest.raises(UserError, match="8 of 12 images at a time"):
        read(IMAGES.repeat(3, 1, 1, 1))


class Squeezing(Rows):
    def features(self, x):
        return F.adaptive_avg_pool2d(torch.relu(self.a(x)), 1).squeeze()


def test_network_that_rejects_single_images_is_refused_with_the_likely_cause():
    with pytest.raises(
        UserError, match=r"not one image alone.*\(3,\) instead of \(1, 3\).*squeeze\(\) without an axis"
    ):
        opened(quiet(Squeezing()))

    class Failing(Squeezing):
        def forward(self, x):
            return super().forward(x)[:, :3]

    with pytest.raises(UserError, match=r"not one image alone \(IndexError.*squeeze\(\) without an axis"):
        opened(quiet(Failing()))


# --- logits under a mask ---------------------------------------------------------------------------------------------


class Masked(Rows):
    """A mask leaves the last class out; another network where symbols run through it."""

    def __init__(self, value, traced_differently):
        super().__init__()
        self.value, self.traced_differently = value, traced_differently
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        logits = super().forward(x)
        if self.traced_differently and type(logits) is torch.Tensor:
            logits = 1.01 * logits
        return logits + torch.tensor([0.0, 0.0, 0.0, self.value])


@pytest.mark.parametrize("value", [-1e9, -1e4, 0.0])
def test_masked_class_does_not_hide_differences_of_other_classes(value):
    for differently in (False, True):
        assert bool(opened(quiet(Masked(value, differently))).traced) is not differently


def test_masked_class_does_not_hide_nondeterminism():
    class Noisy(Masked):
        def forward(self, x):
            return super().forward(x) * (1 + 0.01 * torch.randn(1))

    with pytest.raises(UserError, match="gives another answer when it runs again"):
        check_repeats(quiet(Noisy(-1e9, False)), IMAGES)


def test_infinite_masks_are_reported_as_masks():
    with pytest.raises(UserError, match=r"-inf for every image in output 3 .* finite number"):
        opened(quiet(Masked(-torch.inf, False)))


def test_small_logits_next_to_large_ones_may_round():
    large = torch.tensor([[10.0, 1e-3], [20.0, 2e-3]])
    rounded = large + torch.tensor([1e-5, 1e-6])
    assert same_logits(large, rounded) and same_logits(large, large)
    assert not same_logits(large, large + torch.tensor([0.0, 1e-2]))
    assert not same_logits(large, large[:1]) and same_logits(large * torch.inf, large * torch.inf)


# --- networks that keep something, or change what they are given -----------------------------------------------------


class Counted(Rows):
    """Adds what a buffer holds, and changes that in every pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(1))

    def forward(self, x):
        self.passes += 1
        return super().forward(x) + self.passes


class CountedOutside(Rows):
    passes = 0

    def forward(self, x):
        self.passes += 1
        return super().forward(x) + self.passes


@pytest.mark.parametrize(
    ("network", "cause"),
    [(Counted, "Its buffer 'passes' changes in eval mode"), (CountedOutside, "the same random numbers of torch, too")],
)
def test_differences_between_passes_are_reported_with_their_cause(network, cause):
    with pytest.raises(UserError, match=f"when it runs again.*{cause}") as caught:
        check_repeats(quiet(network()), IMAGES)
    assert "It draws" not in str(caught.value)


def test_the_buffer_that_changes_is_named_where_no_form_agrees():
    with pytest.raises(UserError, match="Its buffer 'passes' changes in eval mode"):
        opened(quiet(Counted()))


@pytest.mark.parametrize("traced", [False, True])
def test_a_network_may_change_its_input_in_place(traced):
    class Changing(Rows):
        def forward(self, x):
            x.sub_(0.5).mul_(2)
            if not traced and x.sum() > 1e9:
                return x
            return super().forward(x)

    module, kept = quiet(Changing()), IMAGES.clone()
    expected = module(IMAGES.clone())
    check_repeats(module, IMAGES)
    probe = Probe.owning(accept_pixels(module, [0.0] * 3, [1.0] * 3), IMAGES)
    assert bool(probe.traced) is traced and torch.equal(IMAGES, kept)
    cut = probe["b"].cut()
    for _ in range(2):
        assert close(cut.suffix(*cut.prefix(IMAGES)[1:]), expected)
    assert torch.equal(IMAGES, kept)
