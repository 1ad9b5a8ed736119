"""Shake-Shake: residual nets of two branches that are mixed at random, differently forward and backward."""

from typing import Any

import torch
from torch import Tensor, nn

from querist.nets.base import register
from querist.nets.layers import Mean, convolution


@register("shake_shake_26_2x32d", cite="Gastaldi, ICLR workshop 2017, Shake-Shake-Image")
def shake_shake_26_2x32d(channels: int) -> nn.Module:
    """Twelve blocks of two branches of 32, 64 and 128 channels; 128 embeddings, 2.9 million parameters.

    It has no dropout, and scoring mixes the branches half and half, so it has no draws of its own. It wants a long
    training: its author's took 1,800 epochs.
    """
    layers: list[nn.Module] = [convolution(channels, 16), nn.BatchNorm2d(16)]
    before = 16
    for width in (32, 64, 128):
        for position in range(4):
            layers.append(ShakeBlock(before, width, 2 if position == 0 and width > 32 else 1))
            before = width
    return nn.Sequential(*layers, nn.ReLU(inplace=True), Mean())


class Mix(torch.autograd.Function):
    """``alpha a + (1 - alpha) b`` forward, with the gradient of ``beta a + (1 - beta) b``."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(beta)
        return alpha * a + (1 - alpha) * b

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (slope,), (beta,) = grad_outputs, ctx.saved_tensors
        return beta * slope, (1 - beta) * slope, None, None


def shake(a: Tensor, b: Tensor) -> Tensor:
    """Return the mixture of two branches ``(b, ...)``, with two random shares of each image: one for each direction."""
    alpha, beta = torch.rand((2, len(a), *[1] * (a.ndim - 1)), dtype=a.dtype, device=a.device)
    return Mix.apply(a, b, alpha, beta)  # pyright: ignore[reportReturnType]


class ShakeBlock(nn.Module):
    """Two branches of two convolutions, mixed, and the input added."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.one, self.other = _branch(before, width, stride), _branch(before, width, stride)
        self.shortcut = nn.Identity() if before == width else Shortcut(before, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.one(x), self.other(x)
        return self.shortcut(x) + (shake(one, other) if self.training else 0.5 * (one + other))


class Shortcut(nn.Module):
    """Half of the channels from every `stride`-th pixel, the other half from its neighbour down and to the right."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.here, self.beside = convolution(before, width // 2, 1), convolution(before, width - width // 2, 1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        beside = nn.functional.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        here, beside = (y[:, :, :: self.stride, :: self.stride] for y in (x, beside))
        return self.norm(torch.cat([self.here(here), self.beside(beside)], dim=1))


def _branch(before: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),  # not in place: the other branch and the shortcut read the same input
        convolution(before, width, 3, stride),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        convolution(width, width),
        nn.BatchNorm2d(width),
    )
