"""Networks on symbols: no code of theirs takes a symbol for memory, and none is left in them."""

import logging
import subprocess
import sys

import pytest
import torch
from networks_by_hand import Residual, opened, quiet
from torch import nn

from unitscope.networks.building import accept_pixels
from unitscope.networks.closeness import close
from unitscope.probing.probe import Probe
from unitscope.probing.tracing import trace

SIZE = (3, 8, 8)
IMAGES = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(3))

# Compiled code is given what passes for a tensor. A mistake there kills the process: each case has one of its own.
COMPILED = {
    "autograd function": "Rounded.apply(x)",
    "reentrant checkpoint": "checkpoint(torch.relu, x, use_reentrant=True)",
    "scripted function": "scripted(x)",
    "as_tensor": "torch.as_tensor(x)",
    "tensor": "torch.tensor(x)",
    "data of a buffer": "self.keep(x)",
}
PROGRAM = """
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from unitscope.probing.probe import Probe
from unitscope.probing.tracing import trace

class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.round()
    @staticmethod
    def backward(ctx, gradient): return gradient

@torch.jit.script
def scripted(x): return x * torch.sigmoid(x)

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.register_buffer("kept", torch.zeros(1))
    def keep(self, x):
        self.kept.data = x.detach()
        return x
    def forward(self, x):
        x = torch.relu(self.conv(x))
        return self.last({call}.mean((2, 3)))

module = Network().eval().requires_grad_(False)
assert trace(module) is None
probe = Probe(module, (3, 8, 8), mean=0, std=1)
assert probe.traced is None
assert [(layer.name, layer.signed) for layer in probe] == [("conv", False), ("last", True)]
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", COMPILED.values(), ids=COMPILED)
def test_networks_with_compiled_code_are_analyzed_through_hooks(call, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("{call}", call))
    done = subprocess.run([sys.executable, "-W", "ignore", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be traced by torch.fx" in done.stderr + done.stdout


@pytest.mark.parametrize(
    "kinds", [torch.Tensor, (int, torch.Tensor), (int, (str, torch.Tensor)), int | torch.Tensor, torch.Tensor | None]
)
def test_traced_values_pass_isinstance_checks_for_tensors(kinds):
    class Asking(Residual):
        def forward(self, x):
            assert not isinstance(x, nn.Parameter) and not isinstance(x, list | str)
            return super().forward(x) if isinstance(x, kinds) and torch.is_tensor(x) else self.wrong

    plain = isinstance
    module = quiet(Asking())
    traced = trace(module)
    assert traced is not None and close(traced(IMAGES), module(IMAGES)) and isinstance is plain


class Caching(Residual):
    """Looks a table up once per device, as LeViT, and keeps what it was given last."""

    def __init__(self):
        super().__init__()
        self.table, self.cache = nn.Parameter(torch.randn(5)), {}
        self.register_buffer("index", torch.arange(4))
        self.register_buffer("last_seen", torch.zeros(4))

    def forward(self, x):
        key = str(SIZE)
        if key not in self.cache:
            self.cache[key] = self.table[self.index] + 0 * x.mean()
        self.last = super().forward(x)
        self.last_seen = self.last.mean(0).detach()
        return self.last + self.cache[key]


@pytest.mark.parametrize("wrapped", [False, True])
def test_no_tracing_proxy_remains_in_the_network(wrapped):
    torch.manual_seed(0)
    network = quiet(Caching())
    buffer = network.last_seen
    module = accept_pixels(network, [0.5] * 3, [0.25] * 3) if wrapped else network
    for _ in range(2):
        traced = trace(module)
        assert traced is not None
        assert network.cache == {} and not hasattr(network, "last") and network.last_seen is buffer
    expected = module(IMAGES)
    assert close(traced(IMAGES), expected)
    # The weights are those of the network, and not copies.
    assert dict(traced.named_parameters())["stem.weight"] is network.get_parameter("stem.weight")
    probe = Probe.owning(module, IMAGES) if wrapped else opened(network)
    assert probe.traced
    cut = probe["stem"].cut()
    assert close(cut.suffix(*cut.prefix(IMAGES)[1:]), expected)


def test_a_network_that_cannot_be_copied_is_reported(caplog):
    module = quiet(Residual())
    module.images_seen = (image for image in IMAGES)
    with caplog.at_level(logging.WARNING):
        assert trace(module) is None
    assert "cannot be traced by torch.fx (cannot pickle 'generator' object)" in caplog.text


class Sequence(nn.Module):
    def __init__(self, index):
        super().__init__()
        self.conv, self.memory, self.last = nn.Conv2d(3, 4, 3), nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 3)
        self.index = index

    def forward(self, x):
        steps = torch.relu(self.conv(x)).flatten(2).transpose(1, 2)
        states, (hidden, _) = self.memory(steps)
        return self.last(states)[:, -1] if self.index else self.last.weight.new_ones(1) * self.last(hidden[-1])


@pytest.mark.parametrize("index", [False, True])
def test_indexed_tensors_are_tensors(index):
    module = quiet(Sequence(index))
    wrapped = accept_pixels(module, [0.0] * 3, [1.0] * 3)
    traced = trace(wrapped)
    assert traced is not None and close(traced(IMAGES), wrapped(IMAGES))


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class StraightThrough(Residual):
    def forward(self, x):
        return super().forward(Rounded.apply(4 * x))


def test_a_custom_gradient_of_a_function_is_kept():
    module = quiet(StraightThrough())
    gradients = []
    for run in (module, lambda images: opened(module)["stem"].prefix("mean")(images)[0]):
        images = IMAGES.clone().requires_grad_()
        gradients.append(torch.autograd.grad(run(images).sum(), images)[0])
    assert all(bool(gradient.any()) for gradient in gradients)
