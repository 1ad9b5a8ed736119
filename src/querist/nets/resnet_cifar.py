"""ResNet-18 for small images: a 3 x 3 stem with stride 1 and no max-pooling."""

from torch import Tensor, nn

from querist.nets.base import register


@register("resnet18_cifar", cite="He, Zhang, Ren & Sun, CVPR 2016; the stem of their nets for CIFAR-10")
def resnet18_cifar(channels: int) -> nn.Module:
    """Eight residual blocks of 64 to 512 channels on the full 32 x 32; 512 embeddings, 11.2 million parameters.

    The ImageNet stem would reduce such images to 8 x 8 before the first block. The stem changes accuracy by points, so
    it belongs to the name: use the same net in all arms of a comparison.
    """
    return ResNet18(channels)


class ResNet18(nn.Module):
    """Images ``(b, channels, h, w)`` to embeddings ``(b, 512)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, 64, 3, 1), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        blocks: list[nn.Module] = []
        before = 64
        for width in (64, 128, 256, 512):
            stride = 1 if width == before else 2
            blocks += [BasicBlock(before, width, stride), BasicBlock(width, width, 1)]
            before = width
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x)).mean(dim=(2, 3))


class BasicBlock(nn.Module):
    """Two convolutions, and the input added to what they make of it."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _convolution(before, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            _convolution(width, width, 3, 1),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(_convolution(before, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return (self.residual(x) + self.shortcut(x)).relu_()


def _convolution(before: int, width: int, size: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(before, width, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
