"""Strided convolutions, as the encoder of a small autoencoder; its embedding knows roughly where things are."""

import torch
from torch import Tensor, nn

from querist.nets.base import register
from querist.nets.layers import convolution

WIDTHS = (32, 64, 128, 256)
"""Channels after each convolution; every one of them halves the sides."""

SLOPE = 0.01
"""Of the activation below 0."""


@register("strided_cnn", cite="as in Chandra et al. 2020, arXiv 2011.14696")
def strided_cnn(channels: int) -> nn.Module:
    """Four 3 x 3 convolutions of stride 2 with 32, 64, 128 and 256 channels; 1024 embeddings, 389,000 parameters.

    Each is followed by batch normalisation and a leaky ReLU, the last by the means over the four quarters of the image,
    so images of any size fit; at 32 x 32 the quarters are the four positions that are left.
    """
    return StridedCNN(channels)


class StridedCNN(nn.Module):
    """Images ``(b, channels, h, w)`` to embeddings ``(b, 1024)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in zip((channels, *WIDTHS), WIDTHS, strict=False):
            layers += [convolution(before, width, stride=2, slope=SLOPE), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return quarters(self.layers(x))


def quarters(x: Tensor) -> Tensor:
    """Return the means of maps ``(b, d, h, w)`` over their quarters, ``(b, 4 d)``.

    An odd middle row or column belongs to both halves. It is what adaptive pooling to 2 x 2 gives, whose gradient is
    not the same twice on a graphics card.
    """
    height, width = x.shape[2:]
    across = (slice(0, -(-width // 2)), slice(width // 2, width))
    down = (slice(0, -(-height // 2)), slice(height // 2, height))
    return torch.cat([x[:, :, rows, columns].mean(dim=(2, 3)) for rows in down for columns in across], dim=1)
