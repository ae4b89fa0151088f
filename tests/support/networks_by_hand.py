"""Small networks whose answers are known, or that hold what is hard to cut: skips, in-place steps, shared modules."""

import gc
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unitscope.probing.probe import Probe


class Residual(nn.Module):
    """A residual block as torchvision writes them: batch norm, one in-place ReLU called twice, in-place addition."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x, inplace=True)
        identity = x
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += identity
        x = self.relu(x)
        return self.fc(x.mean((2, 3)))


class Shared(nn.Module):
    """One linear layer called twice, between a hidden layer with dropout and signed logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 8)
        self.drop = nn.Dropout()
        self.shared = nn.Linear(8, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.drop(self.first(x.flatten(1))))
        x = F.gelu(self.shared(x))
        x = self.shared(x).relu_()
        return self.last(x)


class InPlace(nn.Module):
    """Every way to work in place that torch.fx sees: functions, a flag by position, methods."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.first(x))
        x = F.relu(self.second(x), True)
        x = F.leaky_relu_(self.third(x)).mul_(2)
        return self.last(x.mean((2, 3)))


class Discarding(nn.Module):
    """What a ReLU gives in place is read through the tensor that it was given; one ReLU serves several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.relu, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        self.relu(x)
        y = self.second(x)
        z = self.third(self.relu(y)) + y
        z *= 2
        F.relu(z, True)
        return self.last(z.mean((2, 3)))


class Views(nn.Module):
    """A view is changed in place, and read through the tensor that it is of."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        half, _ = x.chunk(2, 1)
        half.relu_()
        return self.last(x.mean((2, 3)))


class Varied(nn.Module):
    """Convolutions of every kind that a short way could get wrong, poolings between them, and a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1))
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.dilated = nn.Conv2d(4, 6, 3, padding=2, dilation=2, bias=False)
        self.slopes = nn.PReLU(6)
        self.grouped = nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.depthwise = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.reflected = nn.Conv2d(12, 4, 3, padding=1, padding_mode="reflect")
        self.same = nn.Conv2d(4, 4, 3, padding="same")
        self.flatten = nn.Flatten()
        self.hidden = nn.Linear(4 * 2 * 1, 6)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.norm(self.strided(x))))
        x = self.slopes(self.dilated(x))
        x = F.relu6(self.grouped(x))
        x = F.relu(F.avg_pool2d(self.depthwise(x), 2))
        x = F.relu(self.reflected(x))
        x = F.max_pool2d(torch.relu(self.same(x)), 2, 2, 0, 1, True)
        x = torch.relu(self.hidden(self.flatten(x)))
        return self.last(x)


class Tokens(nn.Module):
    """Patches as tokens, linear layers over them, a mean over tokens: a transformer without attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6)
        self.mixed = nn.Linear(24, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.down(F.gelu(self.up(x)))
        return self.last(torch.relu(self.mixed(x.flatten(1))))


class Windows(nn.Module):
    """A linear layer over windows of the image, as attention within windows has: its rows are not images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.inside = nn.Linear(16, 5)
        self.last = nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        windows = x.unfold(2, 2, 4).unfold(3, 2, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, 16)
        return self.last(torch.relu(self.inside(windows)).reshape(x.shape[0], -1))


def opened(module: nn.Module, shape: Sequence[int] = (3, 8, 8)) -> Probe:
    """Return a network that takes pixels as they are, opened at its layers."""
    return Probe(module, shape, mean=0, std=1)


def followed_by_hooks(probe: Probe) -> Probe:
    """Return an opened network as if torch.fx could not trace it."""
    probe.traced = None
    return probe


def quiet(module: nn.Module, seed: int = 0) -> nn.Module:
    """Return a network in eval mode, frozen, with random weights and random batch norm statistics."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        kind = parameter.dtype if parameter.is_complex() else torch.float32
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=kind) * 0.4
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            noise = torch.rand(buffer.shape, generator=generator)
            buffer.copy_(noise + 0.5 if name.endswith("var") else noise - 0.5)
    return module.eval().requires_grad_(False)


def linear(weight: list[list[float]] | Tensor, bias: list[float] | Tensor | None = None) -> nn.Module:
    """Return flatten, a linear layer `units` with the given weight, and a ReLU."""
    weight = torch.as_tensor(weight)
    module = nn.Sequential()
    module.add_module("flatten", nn.Flatten())
    module.add_module("units", nn.Linear(weight.shape[1], weight.shape[0]))
    module.add_module("relu", nn.ReLU())
    module.units.weight.data = weight.float()
    module.units.bias.data = torch.zeros(len(weight)) if bias is None else torch.as_tensor(bias).float()
    return module.eval().requires_grad_(False)


def with_stand_in(kind: str) -> nn.Module:
    """Return a network whose units' understudies are known: three pixels, four units (three if `alone`), three classes.

    Unit j answers what pixel j is above 1/4. The fourth unit is an exact `duplicate` of unit 0, or `dead`. The class is
    the pixel whose units answer most together, more than 1/2 counting as 1/2: one of two equal units is enough.
    """
    fourth = {
        "alone": [],
        "duplicate": [([1.0, 0.0, 0.0], -0.25, [1.0, 0.0, 0.0])],
        "dead": [([-1.0, 0, 0], -1.0, [0] * 3)],
    }
    weights, biases, read = zip(*[(row, -0.25, row) for row in torch.eye(3).tolist()], *fourth[kind], strict=True)
    module = nn.Sequential()
    module.add_module("flatten", nn.Flatten())
    module.add_module("units", nn.Linear(3, len(weights)))
    module.add_module("relu", nn.ReLU())
    module.add_module("read", nn.Linear(len(weights), 6))
    module.add_module("bend", nn.ReLU())
    module.add_module("logits", nn.Linear(6, 3))
    module.requires_grad_(False).eval()
    module.units.weight.copy_(torch.tensor(weights))
    module.units.bias.copy_(torch.tensor(biases))
    # min(s, 1/2) = relu(s) - relu(s - 1/2)
    module.read.weight.copy_(torch.tensor(read).T.repeat(2, 1))
    module.read.bias.copy_(torch.tensor([0.0, 0, 0, -0.5, -0.5, -0.5]))
    module.logits.weight.copy_(8 * torch.cat([torch.eye(3), -torch.eye(3)], 1))
    module.logits.bias.zero_()
    return module


def tensors_alive(module: nn.Module) -> list[int]:
    """Return a list that gets, before each pass of a layer without gradients, how many tensors there are."""
    alive: list[int] = []
    kind: type[nn.Module] = type(module)

    # No hook: a network that has one is not traced.
    class Counting(kind):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                # What other tests have left in cycles may go at any time.
                gc.collect()
                alive.append(sum(issubclass(type(held), torch.Tensor) for held in gc.get_objects()))
            result: Tensor = super().forward(x)
            return result

    module.__class__ = Counting
    return alive
