"""The built-in architectures: those of Chen et al. 2018, and a linear head on the features of another network.

Their random weights are those of He et al. 2015 (doi:10.1109/ICCV.2015.123, equation 10): variance 2 / inputs, zero
biases. PyTorch's own start with a sixth of that variance shrinks what passes each ReLU, and a plain network of a few
layers loses its first epoch to it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor, nn

from unitscope.errors import UserError
from unitscope.registries import Registry

architectures: Registry[Callable[..., nn.Module]] = Registry("built-in model")
"""Functions of (channels, height, width) of an image, the number of classes, and options."""


@architectures.register("mlp")
def mlp(shape: Sequence[int], classes: int, widths: Sequence[int] = (128, 512, 2048, 2048)) -> nn.Module:
    """Return a multilayer perceptron: layers hidden1, hidden2, ... and logits.

    Args:
        shape: (channels, height, width) of an image.
        classes: Number of classes.
        widths: Neurons of the hidden layers; by default those of Chen et al. 2018.
    """
    module = nn.Sequential()
    module.add_module("flatten", nn.Flatten())
    inputs = int(np.prod(shape))
    for number, width in enumerate(widths, 1):
        module.add_module(f"hidden{number}", nn.Linear(inputs, width))
        module.add_module(f"relu{number}", nn.ReLU())
        inputs = width
    module.add_module("logits", nn.Linear(inputs, classes))
    return module.apply(_initialize)


@architectures.register("shallow_convnet")
def shallow_convnet(
    shape: Sequence[int],
    classes: int,
    channels: Sequence[int] = (64, 64, 128, 128),
    pool: Sequence[int] = (2, 4),
    batch_norm: bool = False,
    hidden: int = 512,
) -> nn.Module:
    """Return the shallow convolutional network of Chen et al. 2018: layers conv1, conv2, ..., hidden and logits.

    Args:
        shape: (channels, height, width) of an image.
        classes: Number of classes.
        channels: Feature maps of the convolutions, which are 3x3 with stride 1; by default the paper's.
        pool: Numbers of the convolutions behind which a 2x2 maximum pooling stands; the paper does not say.
        batch_norm: Whether a batch norm stands behind each convolution.
        hidden: Neurons of the fully connected layer before the classifier; the paper does not say.

    Raises:
        UserError: `pool` names a convolution that is not there, or leaves nothing of an image.
    """
    if not set(pool) <= set(range(1, len(channels) + 1)) or min(shape[1:]) < 2 ** len(set(pool)):
        raise UserError(
            f"shallow_convnet: options.pool is {list(pool)}; it has to name convolutions from 1 to {len(channels)}, "
            f"and each halves an image, which is {shape[1]}x{shape[2]} here."
        )
    module = nn.Sequential()
    inputs, height, width = shape
    for number, outputs in enumerate(channels, 1):
        module.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
        if batch_norm:
            module.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
        module.add_module(f"relu{number}", nn.ReLU())
        if number in pool:
            module.add_module(f"pool{number}", nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        inputs = outputs
    module.add_module("flatten", nn.Flatten())
    module.add_module("hidden", nn.Linear(inputs * height * width, hidden))
    module.add_module("relu", nn.ReLU())
    module.add_module("logits", nn.Linear(hidden, classes))
    return module.apply(_initialize)


class VGG(nn.Module):
    """Convolutions `features`, a flattening, fully connected `classifier`; named as torchvision's."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (images, classes)."""
        return self.classifier(self.features(x).flatten(1))


@architectures.register("vgg16")
def vgg16(
    shape: Sequence[int], classes: int, batch_norm: bool = True, head: Sequence[int] = (512, 512), dropout: float = 0.5
) -> nn.Module:
    """Return VGG16 (Simonyan and Zisserman 2014) for small images: layers features.N and classifier.N.

    Args:
        shape: (channels, height, width) of an image; height and width are divided by 32.
        classes: Number of classes.
        batch_norm: Whether a batch norm stands behind each convolution.
        head: Neurons of the fully connected layers before the classifier.
        dropout: Share of neurons dropped there in training.

    Raises:
        UserError: The images are smaller than 32x32.
    """
    inputs, height, width = shape
    if height < 32 or width < 32:
        raise UserError(f"vgg16 halves an image five times and needs 32x32 pixels or more; these are {height}x{width}.")
    features: list[nn.Module] = []
    for outputs, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            features += [nn.Conv2d(inputs, outputs, 3, padding=1)]
            features += [nn.BatchNorm2d(outputs)] if batch_norm else []
            features += [nn.ReLU()]
            inputs = outputs
        features += [nn.MaxPool2d(2)]
    classifier: list[nn.Module] = []
    inputs *= (height // 32) * (width // 32)
    for outputs in head:
        classifier += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        inputs = outputs
    return VGG(nn.Sequential(*features), nn.Sequential(*classifier, nn.Linear(inputs, classes))).apply(_initialize)


def _initialize(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        # Uniform: normal values would import half of PyTorch where a checkpoint is loaded on the meta device.
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class Headed(nn.Module):
    """Features of another network, averaged over space, and one linear layer `head` upon them."""

    def __init__(self, features: nn.Module, inputs: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (images, classes)."""
        return self.head(self.pool(self.features(x)).flatten(1))
