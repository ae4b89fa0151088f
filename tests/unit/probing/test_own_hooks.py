"""Networks with hooks and methods of instances of their own: each is analyzed as what it computes."""

import numpy as np
import pytest
import torch
from networks_by_hand import opened, quiet
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from unitscope.interventions import rescaling
from unitscope.interventions.ablation import ablation_scores
from unitscope.maximization.maximize import maximize
from unitscope.maximization.passes import passes
from unitscope.maximization.recipe import Recipe
from unitscope.probing.activations import activations
from unitscope.probing.tracing import trace

SHAPE = (3, 8, 8)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(12) % 4
PIXELS = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255
GAINS = torch.tensor([0.0, 1, 2, 0.5, 1, 3])[:, None, None]


class Plain(nn.Module):
    """Two convolutions, with every kind of module between them; what hooks do is written out by `changes`, by path."""

    def __init__(self, **changes):
        super().__init__()
        self.c1, self.n1, self.r1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.2)
        self.c2, self.r2, self.fc = nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Linear(8, 4)
        self.changes = changes

    def forward(self, x):
        for path in ("c1", "n1", "r1", "pool", "drop", "c2", "r2"):
            x = self.get_submodule(path)(x)
            x = self.changes[path](x) if path in self.changes else x
        return self.fc(x.mean((2, 3)))


class Branching(Plain):
    """The same, as torch.fx cannot trace it."""

    def forward(self, x):
        return super().forward(x if x.sum() > -1e9 else -x)


def alike(kind=Plain, **changes):
    """Return a network with the weights that all of these have."""
    module = quiet(kind(**changes))
    with torch.no_grad():
        module.fc.weight.mul_(8)
    return module


def hooked(path, change, kind=Plain):
    module = alike(kind)
    module.get_submodule(path).register_forward_hook(lambda _, __, output: change(output))
    return module


def lesion(first):
    def change(output):
        output = output.clone()
        output[:, first] = 0
        return output

    return change


def losses(module, layer, clamps):
    return ablation_scores(opened(module)[layer], [(IMAGES, LABELS)], {"": clamps}, np.arange(12) % 2)[""].loss


UPPER = torch.tensor([1.0, 1, 1, 0, 0, 0])[:, None, None]
THIRD = torch.tensor([1.0, 1, 1, 0, 1, 1])[:, None, None]


@pytest.mark.parametrize(
    ("change", "factors"),
    [(lesion(slice(3, None)), UPPER), (lesion(3), THIRD), (lambda output: output * GAINS, GAINS)],
    ids=["slice", "one", "gains"],
)
@pytest.mark.parametrize("path", ["pool", "drop"])
def test_a_hook_after_a_layer_counts_when_its_units_are_clamped(path, change, factors, caplog):
    module, written = hooked(path, change), alike(**{path: lambda output: output * factors})
    for clamps in (np.zeros(6), np.full(6, 0.4)):
        hooked_losses, expected = losses(module, "c1", clamps), losses(written, "c1", clamps)
        np.testing.assert_allclose(hooked_losses, expected, atol=1e-6)
        assert expected.any()
    assert f"its module '{path}' has a forward hook" in caplog.text and "followed by hooks" in caplog.text


def test_forward_method_of_the_instance_is_used_when_units_are_clamped():
    module, written = alike(), alike(pool=lambda output: output * UPPER)
    module.pool.forward = lambda x: lesion(slice(3, None))(F.max_pool2d(x, 2))
    np.testing.assert_allclose(losses(module, "c1", np.zeros(6)), losses(written, "c1", np.zeros(6)), atol=1e-6)


class Written(nn.Module):
    """Classifies by the means of the maps behind two modules."""

    def __init__(self, paths):
        super().__init__()
        self.c1, self.r1, self.c2, self.r2 = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU()
        self.fc, self.paths = nn.Linear(14, 4), paths

    def forward(self, x):
        outputs = {}
        for path in ("c1", "r1", "c2", "r2"):
            x = outputs[path] = self.get_submodule(path)(x)
        return self.read([outputs[path] for path in self.paths])

    def read(self, features):
        return self.fc(torch.cat([F.relu(values).mean((2, 3)) for values in features], 1))


class Collected(Written):
    """The same, as hooks keep the features: in a dictionary that all passes share."""

    def __init__(self, paths):
        super().__init__(paths)
        features = {}
        self.features = lambda: features
        for path in paths:
            self.get_submodule(path).register_forward_hook(
                lambda _, __, output, path=path: features.update({path: output})
            )

    def forward(self, x):
        self.r2(self.c2(self.r1(self.c1(x))))
        return self.read([self.features()[path] for path in self.paths])


class CollectedByMethod(Collected):
    """The same, kept by a method of the network."""

    def __init__(self, paths):
        Written.__init__(self, paths)
        self.outputs = {}
        for path in paths:
            self.get_submodule(path).register_forward_hook(self.keep)

    def keep(self, part, inputs, output):
        self.outputs[part] = output

    def features(self):
        return {path: self.outputs[self.get_submodule(path)] for path in self.paths}


class GatedByHooks(Written):
    """One hook keeps what another reads: a graph would show neither."""

    def __init__(self, paths):
        super().__init__(paths)
        kept = {}
        self.r1.register_forward_hook(lambda _, __, output: kept.update(gate=output.mean((1, 2, 3))))
        self.r2.register_forward_hook(lambda _, __, output: output * kept["gate"][:, None, None, None])


class Gated(Written):
    """The same in its forward pass."""

    def forward(self, x):
        first = self.r1(self.c1(x))
        second = self.r2(self.c2(first)) * first.mean((1, 2, 3))[:, None, None, None]
        return self.read([first, second])


@pytest.mark.parametrize("paths", [("r1", "r2"), ("c1", "c2"), ("c1", "r2")])
@pytest.mark.parametrize("kind", [Collected, CollectedByMethod])
def test_hook_features_belong_to_the_current_pass(kind, paths):
    module, written = quiet(kind(paths)), quiet(Written(paths))
    assert {layer.name for layer in opened(module)} == {"c1", "c2", "fc"}
    for layer, units in (("c1", 6), ("c2", 8), ("fc", 4)):
        (collected,), (expected,) = (activations([opened(each)[layer]], [IMAGES]) for each in (module, written))
        np.testing.assert_allclose(collected[layer], expected[layer], rtol=1e-4, atol=1e-5)
        for clamps in (np.zeros(units), np.full(units, 0.4)):
            np.testing.assert_allclose(losses(module, layer, clamps), losses(written, layer, clamps), atol=1e-6)


def test_hook_reads_values_stored_by_another_hook_under_clamping():
    module, written = quiet(GatedByHooks(("r1", "r2"))), quiet(Gated(("r1", "r2")))
    for clamps in (np.zeros(6), np.full(6, 0.4)):
        np.testing.assert_allclose(losses(module, "c1", clamps), losses(written, "c1", clamps), atol=1e-6)


class KeepingConvolution(nn.Conv2d):
    """Keeps what it gives, without a hook."""

    def forward(self, x):
        self.kept = super().forward(x)
        return self.kept


class ReadingKept(Written):
    def __init__(self, paths):
        super().__init__(paths)
        self.c1 = KeepingConvolution(3, 6, 3)

    def forward(self, x):
        second = self.r2(self.c2(self.r1(self.c1(x))))
        return self.read([self.c1.kept, second])


def test_graph_with_values_of_a_previous_pass_is_not_used():
    module, written = quiet(ReadingKept(("c1", "r2"))), quiet(Written(("c1", "r2")))
    assert opened(module).traced is None
    kept_values, expected = (next(activations(opened(each).layers, [IMAGES])) for each in (module, written))
    assert set(expected) == {"c1", "c2", "fc"}
    for layer in expected:
        np.testing.assert_allclose(kept_values[layer], expected[layer], rtol=1e-4, atol=1e-5)


def output_of(module, path, images):
    """Return what a module's call gives, its hooks included, read out."""
    outputs = []
    handle = module.get_submodule(path).register_forward_hook(lambda _, __, output: outputs.append(output.detach()))
    with torch.no_grad():
        module(images)
    handle.remove()
    return outputs[0].mean((2, 3)).numpy()


@pytest.mark.parametrize("kind", [Plain, Branching])
@pytest.mark.parametrize(
    ("path", "layer", "change", "activation", "signed"),
    [
        ("r1", "c1", lambda output: output * GAINS, "r1", True),
        ("r2", "c2", lambda output: 0.1 - output, "r2", True),
        ("c2", "c2", lambda output: output.sub_(0.1), "r2", False),
        ("r1", "c1", lambda output: None, "r1", False),
        ("c2", "c2", torch.tanh, "r2", False),
        ("n1", "c1", torch.sigmoid, "r1", False),
        ("drop", "c1", lambda output: -output, "r1", False),
    ],
)
def test_a_hook_that_changes_a_modules_output_belongs_to_the_module(kind, path, layer, change, activation, signed):
    module = hooked(path, change, kind)
    expected = output_of(module, activation, PIXELS)
    probe = opened(module)
    (layer_activations,) = activations([probe[layer]], [IMAGES])
    np.testing.assert_allclose(layer_activations[layer], expected, rtol=1e-4, atol=1e-5)
    assert probe[layer].signed is signed
    units = np.arange(expected.shape[1])
    for objective in ("am", "iam"):
        generated = maximize(probe[layer], units, Recipe(objective=objective, steps=6, points=2))
        stored = torch.from_numpy(generated.images[0]).permute(0, 3, 1, 2).float() / 255
        np.testing.assert_allclose(generated.responses[0], output_of(module, activation, stored), rtol=1e-4, atol=1e-5)
        if signed:
            # The objective is that of the responses, whichever sign the hook gives them.
            target_responses = np.diagonal(generated.responses[0])
            mean_of_others = (generated.responses[0].sum(1) - target_responses) / (len(units) - 1)
            expected_objective = target_responses if objective == "am" else target_responses - mean_of_others
            np.testing.assert_allclose(generated.objective[0][:, -1], expected_objective, atol=1e-5)
            assert (generated.objective[0][:, -1] >= generated.objective[0][:, 0] - 1e-3).all()


@pytest.mark.parametrize("path", ["c1", "n1", "r1", "drop", "c2", "r2", "fc"])
@pytest.mark.parametrize("kind", [Plain, Branching])
def test_backward_hooks_run_without_in_place_operations(kind, path):
    plain, module, gradients = alike(kind), alike(kind), []
    module.get_submodule(path).register_full_backward_hook(lambda _, __, gradient: gradients.append(gradient[0]))
    probes = opened(plain), opened(module)
    assert bool(probes[1].traced) is (kind is Plain)
    for layer in ("c1", "c2"):
        for objective in ("am", "iam"):
            values = []
            for each in probes:
                images = PIXELS[:4].clone().requires_grad_()
                value = passes(each[layer], Recipe(objective=objective))(images, torch.arange(4))
                values.append((value.detach(), torch.autograd.grad(value.sum(), images)[0]))
            for one, other in zip(*values, strict=True):
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    assert gradients or path == "fc" or kind is Branching


def test_gradient_hooks_apply_during_maximization():
    plain, module = alike(), alike()
    module.r1.register_full_backward_hook(lambda _, gradients, __: (-gradients[0],))
    gradients = []
    for each in (plain, module):
        images = PIXELS[:4].clone().requires_grad_()
        value = passes(opened(each)["c2"], Recipe(objective="iam"))(images, torch.arange(4))
        gradients.append(torch.autograd.grad(value.sum(), images)[0])
    torch.testing.assert_close(gradients[0], -gradients[1], atol=1e-5, rtol=1e-3)


class Bent(nn.Conv2d):
    """A layer whose gradient needs its output."""

    def forward(self, x):
        return torch.tanh(super().forward(x))


def test_the_output_of_a_subclassed_layer_is_not_changed_in_place():
    module = alike()
    module.c2 = Bent(6, 8, 3, padding=1).eval().requires_grad_(False)
    layer = opened(module)["c2"]
    images = PIXELS[:4].clone().requires_grad_()
    value = passes(layer, Recipe(objective="iam"))(images, torch.arange(4))
    before, after = layer.prefix("mean")(images)
    target_responses = after.diagonal()
    expected = (
        torch.where(target_responses > 0, target_responses, before.diagonal()) - (after.sum(1) - target_responses) / 7
    )
    torch.testing.assert_close(value, expected)
    gradients = [torch.autograd.grad(each.sum(), images)[0] for each in (value, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_torchs_weight_computing_hooks_keep_a_network_traced():
    module = alike()
    nn.utils.weight_norm(module.c1)
    prune.l1_unstructured(module.fc, "weight", 0.5)
    nn.utils.spectral_norm(module.c2)
    parametrizations.weight_norm(nn.Conv2d(2, 2, 1))
    assert trace(module) is not None


def pre_hook(module):
    module.c2.register_forward_pre_hook(lambda _, inputs: (2 * inputs[0],))


def method(module):
    module.c2._conv_forward = lambda x, weight, bias: F.conv2d(x, 2 * weight, bias, padding=1)


def whole(module):
    module.register_forward_hook(lambda _, __, output: 2 * output)


@pytest.mark.parametrize(("add", "addition"), [(pre_hook, "forward pre-hook"), (method, "method _conv_forward")])
def test_other_user_code_is_not_traced(add, addition, caplog):
    module = alike()
    add(module)
    expected = module(PIXELS)
    cut = opened(module)["c1"].cut()
    torch.testing.assert_close(cut.suffix(*cut.prefix(PIXELS)[1:]), expected)
    assert trace(module) is None and f"its module 'c2' has a {addition}" in caplog.text


def test_a_hook_on_the_network_itself_counts(caplog):
    module = alike()
    whole(module)
    cut = opened(module)["c1"].cut()
    torch.testing.assert_close(cut.suffix(*cut.prefix(PIXELS)[1:]), module(PIXELS))
    # A graph of the network by itself would not show the hook.
    assert trace(module) is None and "it has a forward hook" in caplog.text


def test_a_hook_for_all_modules_is_not_traced():
    module = alike()
    handle = nn.modules.module.register_module_forward_hook(
        lambda part, _, output: output * 2 if isinstance(part, nn.MaxPool2d) else None
    )
    try:
        expected = module(PIXELS)
        cut = opened(module)["c1"].cut()
        torch.testing.assert_close(cut.suffix(*cut.prefix(PIXELS)[1:]), expected)
        assert trace(module) is None
    finally:
        handle.remove()
    assert trace(module) is not None


def test_only_the_networks_hooks_remain():
    module = hooked("r1", lambda output: output * GAINS)
    losses(module, "c1", np.zeros(6))
    counts = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
    assert sum(counts) == 1


def test_rescaling_a_hooked_network_is_refused_with_the_hook():
    assert "cannot trace" in rescaling.obstacle(opened(hooked("r1", lambda output: output * GAINS))["c1"])
