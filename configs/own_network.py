"""A network of one's own: any function that returns a `torch.nn.Module`. `configs/own_network.yaml` names it."""

from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions beside a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (images, channels, height, width)."""
        return self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


def network(shape: list[int], classes: int, channels: int = 16, blocks: int = 2) -> nn.Module:
    """Return a small residual network.

    Args:
        shape: (channels, height, width) of an image; given to every function that has an argument of this name.
        classes: Number of classes; likewise.
        channels: Feature maps, an option of the config.
        blocks: How many blocks, another one.
    """
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, stride=2, padding=1),
        nn.ReLU(),
        *(Block(channels) for _ in range(blocks)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )
