"""The ResNets of ImageNet for small images: a 3 x 3 stem with stride 1 and no max-pooling.

The ImageNet stem would reduce 32 x 32 images to 8 x 8 before the first block. The stem changes accuracy by points, so
it belongs to the name: use the same net in all arms of a comparison.
"""

from torch import Tensor, nn

from querist.nets.base import register
from querist.nets.layers import convolution


@register("resnet18_cifar", cite="He, Zhang, Ren & Sun, CVPR 2016; the stem of their nets for CIFAR-10")
def resnet18_cifar(channels: int) -> nn.Module:
    """Eight residual blocks of 64 to 512 channels on the full 32 x 32; 512 embeddings, 11.2 million parameters."""
    return ResNet(channels, BasicBlock, (2, 2, 2, 2))


@register("resnet34_cifar", cite="He, Zhang, Ren & Sun, CVPR 2016; the stem of their nets for CIFAR-10")
def resnet34_cifar(channels: int) -> nn.Module:
    """Sixteen residual blocks of 64 to 512 channels on the full 32 x 32; 512 embeddings, 21.3 million parameters."""
    return ResNet(channels, BasicBlock, (3, 4, 6, 3))


@register("resnet50_cifar", cite="He, Zhang, Ren & Sun, CVPR 2016; the stem of their nets for CIFAR-10")
def resnet50_cifar(channels: int) -> nn.Module:
    """Sixteen bottlenecks of 256 to 2,048 channels on the full 32 x 32; 2,048 embeddings, 23.5 million parameters."""
    return ResNet(channels, Bottleneck, (3, 4, 6, 3))


class BasicBlock(nn.Module):
    """Two convolutions, and the input added to what they make of it."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            convolution(before, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            convolution(width, width),
            nn.BatchNorm2d(width),
        )
        self.shortcut = _shortcut(before, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        return (self.residual(x) + self.shortcut(x)).relu_()


class Bottleneck(nn.Module):
    """A convolution between two of 1 x 1, the last of which widens fourfold, and the input added."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = width * self.expansion
        self.residual = nn.Sequential(
            convolution(before, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            convolution(width, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            convolution(width, after, 1),
            nn.BatchNorm2d(after),
        )
        self.shortcut = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        return (self.residual(x) + self.shortcut(x)).relu_()


class ResNet(nn.Module):
    """Images ``(b, channels, h, w)`` to embeddings ``(b, 512)``, or ``(b, 2048)`` with bottlenecks."""

    def __init__(self, channels: int, block: type[BasicBlock | Bottleneck], counts: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(channels, 64), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        blocks: list[nn.Module] = []
        before = 64
        for width, count in zip((64, 128, 256, 512), counts, strict=True):
            for position in range(count):
                blocks.append(block(before, width, 2 if position == 0 and width > 64 else 1))
                before = width * block.expansion
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x)).mean(dim=(2, 3))


def _shortcut(before: int, after: int, stride: int) -> nn.Module:
    if stride == 1 and before == after:
        return nn.Identity()
    return nn.Sequential(convolution(before, after, 1, stride), nn.BatchNorm2d(after))
