"""A convolutional net small enough for a laptop: at most 0.1 million parameters."""

from torch import Tensor, nn

from querist.nets.base import register
from querist.nets.layers import convolution

WIDTHS = (16, 32, 64, 96)


@register("small_cnn")
def small_cnn(channels: int) -> nn.Module:
    """Four 3 x 3 convolutions of 16, 32, 64 and 96 channels, halving in between; 96 embeddings, 79,000 parameters.

    Each convolution is followed by batch normalisation and ReLU, the last by the mean over all positions, so images of
    any size from 1 x 1 on fit; it is meant for sides of 20 to 40.
    """
    return SmallCNN(channels)


class SmallCNN(nn.Module):
    """Images ``(b, channels, h, w)`` to embeddings ``(b, 96)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in zip((channels, *WIDTHS), WIDTHS, strict=False):
            if layers:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))  # rounded up: 28 -> 14 -> 7 -> 4, and 1 stays 1
            layers += [convolution(before, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).mean(dim=(2, 3))
