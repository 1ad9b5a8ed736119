"""Wide residual nets for small images: normalised before every convolution, with dropout inside the blocks."""

from torch import Tensor, nn

from querist.nets.base import register
from querist.nets.layers import Mean, convolution

CITE = "Zagoruyko & Komodakis, BMVC 2016"
BLOCKS = 4
"""In each of the three stages: 28 layers."""


@register("wrn_28_2", cite=CITE)
def wrn_28_2(channels: int, dropout: float = 0.3, slope: float = 0.0) -> nn.Module:
    """Twelve residual blocks of 32, 64 and 128 channels with dropout; 128 embeddings, 1.5 million parameters.

    Args:
        channels: of the images.
        dropout: between the two convolutions of a block.
        slope: of the activations below 0: 0 is the authors' ReLU, 0.2 that of TorchAL.
    """
    return _wide_resnet(channels, 2, dropout, slope)


@register("wrn_28_8", cite=CITE)
def wrn_28_8(channels: int, dropout: float = 0.3, slope: float = 0.0) -> nn.Module:
    """Twelve residual blocks of 128, 256 and 512 channels with dropout; 512 embeddings, 23.4 million parameters.

    Args:
        channels: of the images.
        dropout: between the two convolutions of a block.
        slope: of the activations below 0: 0 is the authors' ReLU, 0.2 that of TorchAL.
    """
    return _wide_resnet(channels, 8, dropout, slope)


@register("wrn_28_10", cite=CITE)
def wrn_28_10(channels: int, dropout: float = 0.3, slope: float = 0.0) -> nn.Module:
    """Twelve residual blocks of 160, 320 and 640 channels with dropout; 640 embeddings, 36.5 million parameters.

    Args:
        channels: of the images.
        dropout: between the two convolutions of a block.
        slope: of the activations below 0: 0 is the authors' ReLU, 0.2 that of TorchAL.
    """
    return _wide_resnet(channels, 10, dropout, slope)


def _wide_resnet(channels: int, factor: int, dropout: float, slope: float) -> nn.Module:
    layers: list[nn.Module] = [convolution(channels, 16)]
    before = 16
    for stage in range(3):
        width = 16 * factor * 2**stage
        for position in range(BLOCKS):
            layers.append(WideBlock(before, width, 2 if stage and position == 0 else 1, dropout, slope))
            before = width
    return nn.Sequential(*layers, nn.BatchNorm2d(before), nn.LeakyReLU(slope, inplace=True), Mean())


class WideBlock(nn.Module):
    """Normalisation, activation, convolution, twice, with dropout before the second convolution; the input added."""

    def __init__(self, before: int, width: int, stride: int, dropout: float, slope: float) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(before), nn.LeakyReLU(slope, inplace=True))
        self.residual = nn.Sequential(
            convolution(before, width, 3, stride, slope=slope),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(slope, inplace=True),
            nn.Dropout(dropout),
            convolution(width, width, slope=slope),
        )
        self.shortcut = None if before == width else convolution(before, width, 1, stride, slope=slope)

    def forward(self, x: Tensor) -> Tensor:
        ready = self.first(x)
        return self.residual(ready) + (x if self.shortcut is None else self.shortcut(ready))
