"""How well a view of an image is told from the views of others: probabilities and losses of every image of a batch."""

import torch
from torch import Tensor
from torch.nn import functional

from querist.errors import DataError

ENOUGH = 512
"""Images that a loss compares each image with, or all there are."""


def contrast_probabilities(first: Tensor, second: Tensor, temperatures: tuple[float, ...]) -> dict[str, Tensor]:
    """Return the probability of the other view of an image among all 2b - 1 other views of a batch, ``(b,)`` per T.

    The softmax of the cosines divided by T, anchored at either view, and the mean of both. Every temperature divides
    the cosines themselves, not what another one left of them.

    Args:
        first: one view of every image, ``(b, k)``, of any length.
        second: another, aligned.
        temperatures: T of each softmax; named ``contrast_prob_T0.1`` and so on.

    Raises:
        DataError: there are fewer than two images, so that there is nothing to tell one from.
    """
    cosines, positive = _cosines(first, second)
    found = {}
    for temperature in temperatures:
        log = (positive / temperature) - torch.logsumexp(cosines / temperature, dim=1)
        found[f"contrast_prob_T{temperature:g}"] = log.exp().view(2, -1).mean(dim=0)
    return found


def contrast_losses(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return minus the logarithm of that probability, the mean of both anchors, ``(b,)`` float64.

    The mean over a batch is NT-Xent (Chen, Kornblith, Norouzi & Hinton, ICML 2020).

    Raises:
        DataError: there are fewer than two images: without a negative the loss is 0 whatever the image.
    """
    cosines, positive = _cosines(first.double(), second.double())
    return (torch.logsumexp(cosines / temperature, dim=1) - positive / temperature).view(2, -1).mean(dim=0)


def tempered_losses(first: Tensor, second: Tensor, tau: Tensor) -> Tensor:
    """Return the same with a temperature of its own for every anchor, ``(b,)`` in the precision of the views.

    Args:
        first: one view of every image, ``(b, k)``.
        second: another, aligned.
        tau: ``(2b,)``, temperatures of the first views and then of the second; similarities are divided by them.

    Raises:
        DataError: there are fewer than two images.
    """
    cosines, positive = _cosines(first, second)
    itself = cosines.isneginf()
    # Left out after the division, not before: the slope of infinity in tau is no number, even times 0.
    logits = (cosines.masked_fill(itself, 0.0) / tau[:, None]).masked_fill(itself, -torch.inf)
    return (torch.logsumexp(logits, dim=1) - positive / tau).view(2, -1).mean(dim=0)


def _cosines(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines ``(2b, 2b)`` of all views, minus infinity on the diagonal, and of the two of an image, (2b,)."""
    b = len(first)
    if b < 2:
        raise DataError(
            f"Expected at least two images to tell one from the others, got {b}: without negatives every loss is 0."
        )
    unit = functional.normalize(torch.cat([first, second]), dim=1)
    cosines = unit @ unit.T
    rows = torch.arange(2 * b, device=unit.device)
    positive = cosines[rows, (rows + b) % (2 * b)]
    return cosines.masked_fill(torch.eye(2 * b, dtype=torch.bool, device=unit.device), -torch.inf), positive
