"""The loss of a batch: cross-entropy with hard or soft targets, and what every class weighs in it."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from querist.arrays import Labels


def class_weights(labels: Labels, c: int) -> npt.NDArray[np.float64]:
    """Return what a label of each class weighs for all classes to weigh the same, ``(c,)``.

    ``w_k`` is proportional to ``1 / n_k``, with mean 1 over the classes that have labels. A class without labels has
    weight 1, which nothing is multiplied by.

    Args:
        labels: ``(l,)`` class numbers.
        c: how many classes there are.
    """
    counts = np.bincount(labels, minlength=c)
    present = counts > 0
    weights = np.ones(c)
    weights[present] = 1 / counts[present]
    weights[present] /= weights[present].mean()
    return weights


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of each row, ``(b,)``, in float32 whatever the precision of the net.

    Args:
        logits: ``(b, c)``.
        targets: ``(b, c)`` probabilities of the classes; one 1 where the label is certain.
        smoothing: share of each target that is spread over all classes.
    """
    soft = targets * (1 - smoothing) + smoothing / targets.shape[1]
    return functional.cross_entropy(logits.float(), soft, reduction="none")


def shares(targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the share of every row in the mean over a batch, ``(b,)`` with sum 1.

    A row weighs as much as its class, a mixed one as its classes do on average. So the loss of a batch is a weighted
    mean, as torch has it, and a batch of rare classes makes no larger step than another.

    Args:
        targets: ``(b, c)``.
        weights: ``(c,)`` of the classes; None for equal ones.
    """
    if weights is None:
        return torch.full((len(targets),), 1 / len(targets), device=targets.device)
    rows = targets @ weights
    return rows / rows.sum()
