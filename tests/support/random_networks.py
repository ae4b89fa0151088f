"""Small random networks, written in the ways in which people write them."""

import numpy as np
import torch
from networks_by_hand import quiet
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 6
FUNCTIONS = (
    *(F.relu, F.leaky_relu, F.elu, F.silu, F.hardsigmoid, F.hardswish, F.relu6, F.selu, F.celu, F.mish, F.hardtanh),
    *(torch.relu, torch.sigmoid, torch.tanh, F.gelu, F.softplus, F.softsign, F.logsigmoid, F.tanhshrink),
)
FLAGGED = (F.relu, F.leaky_relu, F.elu, F.silu, F.hardsigmoid, F.hardswish, F.relu6, F.selu, F.celu, F.mish, F.hardtanh)
MODULES = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Hardsigmoid, nn.ReLU6, nn.Hardtanh, nn.Mish)


class Step(nn.Module):
    """One step of a network: the layers that it may use, and a nonlinearity as a module and as a function."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=bool(random.integers(2)))
        self.pointwise = nn.Linear(CHANNELS, CHANNELS)
        self.norm = random.choice(
            [
                lambda: nn.BatchNorm2d(CHANNELS),
                lambda: nn.GroupNorm(2, CHANNELS),
                lambda: nn.InstanceNorm2d(CHANNELS, affine=True),
                nn.Identity,
            ]
        )()
        self.bend = random.choice(list(MODULES))(inplace=bool(random.integers(2)))
        self.drop = nn.Dropout()
        self.function = FUNCTIONS[random.integers(len(FUNCTIONS))]
        self.flagged = FLAGGED[random.integers(len(FLAGGED))]
        # Rounding to half precision moves results by more than forms may differ.
        self.kind = random.choice([name for name in dir(Step) if name.startswith("step_") and name != "step_half"])

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.kind)(x)

    def step_module(self, x):
        return self.bend(self.norm(self.conv(x)))

    def step_dropped(self, x):
        return self.bend(self.drop(self.norm(self.drop(self.conv(x)))))

    def step_function(self, x):
        return self.function(self.norm(self.conv(x)))

    def step_functional_dropout(self, x):
        return self.function(F.dropout(self.conv(x), 0.5, self.training))

    def step_preactivation(self, x):
        return x + self.conv(self.function(x))

    def step_preactivation_after_a_convolution(self, x):
        x = self.conv(x)
        return x + self.conv(self.flagged(x))

    def step_preactivation_in_place(self, x):
        x = self.conv(x)
        y = self.flagged(x, inplace=True)
        return x + self.conv(y)

    def step_method(self, x):
        return self.conv(x).relu()

    def step_method_in_place(self, x):
        x = self.conv(x)
        x.relu_()
        return x + 1

    def step_clamped(self, x):
        return self.conv(x).clamp(min=0)

    def step_gated(self, x):
        x = self.conv(x)
        return x * torch.sigmoid(x)

    def step_read_twice(self, x):
        x = self.conv(x)
        return x + torch.relu(x)

    def step_shape_is_read(self, x):
        x = self.conv(x)
        assert len(x.shape) == 4 and x.dim() == 4
        n, c, h, w = x.size()
        return self.function(x).reshape(n, c, h, w)

    def step_skip_in_place(self, x):
        y = self.conv(x)
        y += x
        return self.bend(y)

    def step_alias_changed_in_place(self, x):
        x = self.conv(x)
        y = x
        x += 1
        return x + y.tanh()

    def step_shared(self, x):
        return self.bend(self.conv(self.function(self.conv(x))))

    def step_permuted(self, x):
        return self.function(self.pointwise(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)

    def step_tokens(self, x):
        tokens = self.pointwise(x.flatten(2).transpose(1, 2))
        return self.bend(tokens).transpose(1, 2).reshape(x.shape)

    def step_view(self, x):
        x = self.conv(x.contiguous()).contiguous()
        return self.bend(x.view(x.shape[0], -1).view(x.shape))

    def step_view_without_a_copy(self, x):
        x = self.conv(x.contiguous())
        return torch.relu(x.view(x.size(0), -1)).view(x.size())

    def step_chunks(self, x):
        one, other = self.conv(x).chunk(2, 1)
        return torch.cat([self.function(one), other], 1)

    def step_view_changed_in_place(self, x):
        x = self.conv(x)
        x[:, :3].relu_()
        return x + 0.5

    def step_kind(self, x):
        if isinstance(x, Tensor) and torch.is_tensor(x) and not isinstance(x, list | tuple):
            x = x * 2
        return self.function(self.conv(x))

    def step_branch(self, x):
        x = self.conv(x)
        if float(x.detach().abs().max()) > 1e9:
            x = x * 0
        return self.function(x)

    def step_double(self, x):
        return self.function(self.conv(x).double()).float()

    def step_half(self, x):
        return self.bend(self.conv(x).bfloat16().float())

    def step_written_into(self, x):
        x = self.conv(x)
        y = torch.zeros_like(x)
        y[:, 1:] = self.function(x)[:, 1:]
        return y

    def step_listed(self, x):
        parts = [x]
        parts.append(self.function(self.conv(parts[-1])))
        return torch.stack(parts).mean(0)


STEPS = [name.removeprefix("step_") for name in dir(Step) if name.startswith("step_")]


class RandomNetwork(nn.Module):
    """Three steps between a first convolution and logits."""

    def __init__(self, seed: int, step: str | None = None) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.steps = nn.ModuleList(Step(random) for _ in range(3))
        if step is not None:
            for module, kind in zip(self.steps, ("module", step, "module"), strict=True):
                module.kind = f"step_{kind}"
        self.last = nn.Linear(CHANNELS, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for step in self.steps:
            x = step(x)
        return self.last(x.mean((2, 3)))


def random_network(seed: int, step: str | None = None) -> nn.Module:
    """Return a network of a seed, frozen and in eval mode; a step that is named stands between two usual ones."""
    return quiet(RandomNetwork(seed, step), seed)
