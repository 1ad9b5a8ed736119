"""The narrow ResNets of CIFAR-10: depth 6n + 2, with 16, 32 and 64 channels."""

from torch import Tensor, nn
from torch.nn import functional

from querist.nets.base import register
from querist.nets.layers import Mean, convolution

CITE = "He, Zhang, Ren & Sun, CVPR 2016, section 4.2"


@register("resnet20", cite=CITE)
def resnet20(channels: int) -> nn.Module:
    """Nine residual blocks of 16, 32 and 64 channels; 64 embeddings, 0.27 million parameters."""
    return _resnet(channels, 3)


@register("resnet32", cite=CITE)
def resnet32(channels: int) -> nn.Module:
    """Fifteen residual blocks of 16, 32 and 64 channels; 64 embeddings, 0.46 million parameters."""
    return _resnet(channels, 5)


@register("resnet44", cite=CITE)
def resnet44(channels: int) -> nn.Module:
    """Twenty-one residual blocks of 16, 32 and 64 channels; 64 embeddings, 0.66 million parameters."""
    return _resnet(channels, 7)


@register("resnet56", cite=CITE)
def resnet56(channels: int) -> nn.Module:
    """Twenty-seven residual blocks of 16, 32 and 64 channels; 64 embeddings, 0.85 million parameters."""
    return _resnet(channels, 9)


@register("resnet110", cite=CITE)
def resnet110(channels: int) -> nn.Module:
    """Fifty-four residual blocks of 16, 32 and 64 channels; 64 embeddings, 1.7 million parameters.

    So deep a net starts badly at a learning rate of 0.1: its authors warm up at a tenth of that.
    """
    return _resnet(channels, 18)


def _resnet(channels: int, n: int) -> nn.Module:
    layers: list[nn.Module] = [convolution(channels, 16), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    before = 16
    for width in (16, 32, 64):
        for _ in range(n):
            layers.append(NarrowBlock(before, width))
            before = width
    return nn.Sequential(*layers, Mean())


class NarrowBlock(nn.Module):
    """Two convolutions, and the input added; where the width doubles, every other pixel of it and channels of zeros."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.stride, self.missing = (1, 0) if before == width else (2, width - before)
        self.residual = nn.Sequential(
            convolution(before, width, 3, self.stride),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            convolution(width, width),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        same = x[:, :, :: self.stride, :: self.stride]
        half = self.missing // 2
        return (self.residual(x) + functional.pad(same, (0, 0, 0, 0, half, self.missing - half))).relu_()
