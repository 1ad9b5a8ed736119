"""Layers that our nets share."""

import torch
from torch import Tensor, nn


def convolution(
    before: int, width: int, size: int = 3, stride: int = 1, *, slope: float = 0.0, bias: bool = False
) -> nn.Conv2d:
    """Return a convolution that keeps the image's size at stride 1, with the initial weights of He et al., ICCV 2015.

    Args:
        before: channels it reads.
        width: channels it gives.
        size: of its kernel, odd.
        stride: of its output.
        slope: of the activation that follows it, below 0.
        bias: whether it has one, zero at first; batch normalisation makes it superfluous.
    """
    layer = nn.Conv2d(before, width, size, stride, padding=size // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, a=slope, mode="fan_out", nonlinearity="leaky_relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Mean(nn.Module):
    """Feature maps ``(b, d, h, w)`` to their means over all positions ``(b, d)``, whatever the size of the image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.mean(x, dim=(2, 3))
