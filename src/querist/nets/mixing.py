"""MixUp and CutMix: a batch whose images are blended with, or pasted into, one another, and their targets with them."""

import math

import torch
from scipy.special import betaincinv
from torch import Tensor

from querist.nets.augmenting import Augmenting


def mix(inputs: Tensor, targets: Tensor, augmenting: Augmenting, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch after MixUp or CutMix, one of the two at even odds where both are set; itself where none is.

    The partners are a permutation of the batch, and the share an image keeps is one number for all of them.

    Args:
        inputs: ``(b, channels, h, w)``, normalised.
        targets: ``(b, c)`` probabilities of the classes.
        augmenting: what is set: `mixup`, `cutmix`.
        draws: on the CPU, so that the numbers are the same on every device.
    """
    if not augmenting.mixup and not augmenting.cutmix:
        return inputs, targets
    cut = bool(augmenting.cutmix)
    if cut and augmenting.mixup:
        cut = _uniform(draws) < 0.5
    partners = torch.randperm(len(inputs), generator=draws).to(inputs.device, non_blocking=True)
    if cut:
        return cutmix(inputs, targets, partners, keep(augmenting.cutmix, draws), _uniform(draws), _uniform(draws))
    return mixup(inputs, targets, partners, keep(augmenting.mixup, draws))


def keep(alpha: float, draws: torch.Generator) -> float:
    """Return a share drawn from Beta(alpha, alpha), by its inverse distribution: one number of the stream."""
    return float(betaincinv(alpha, alpha, _uniform(draws)))


def mixup(inputs: Tensor, targets: Tensor, partners: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return ``share`` of each image and target plus the rest of its partner's (Zhang et al., ICLR 2018)."""
    return inputs.lerp(inputs[partners], 1 - share), targets.lerp(targets[partners], 1 - share)


def cutmix(
    inputs: Tensor, targets: Tensor, partners: Tensor, share: float, down: float, right: float
) -> tuple[Tensor, Tensor]:
    """Return each image with a rectangle of its partner's pasted in (Yun et al., ICCV 2019).

    The rectangle has the shape of the image and ``1 - share`` of its area, before what lies beyond the border is cut
    off; targets mix by the area that is really pasted.

    Args:
        inputs: ``(b, channels, h, w)``.
        targets: ``(b, c)``.
        partners: ``(b,)`` rows of the batch.
        share: of the area that an image keeps.
        down: centre of the rectangle, in 0..1.
        right: the same, along the width.
    """
    edges: list[tuple[int, int]] = []
    for size, centre in zip(inputs.shape[2:], (down, right), strict=True):
        side = int(size * math.sqrt(1 - share))
        first = int(size * centre) - side // 2
        edges.append((max(0, first), min(size, first + side)))
    (top, bottom), (left, far) = edges
    pasted = inputs.clone()
    pasted[:, :, top:bottom, left:far] = inputs[partners, :, top:bottom, left:far]
    kept = 1 - (bottom - top) * (far - left) / inputs[0, 0].numel()
    return pasted, targets.lerp(targets[partners], 1 - kept)


def _uniform(draws: torch.Generator) -> float:
    return torch.rand((), generator=draws, dtype=torch.float64).item()
