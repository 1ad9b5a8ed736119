"""Items as images for a net: read, checked and normalised."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from querist.arrays import some
from querist.errors import DataError
from querist.evidence.view import View
from querist.seeds import Seed

Images = npt.NDArray[np.uint8]
"""``(n, h, w, channels)``, one channel or three."""

REREAD = 4
"""Rows that are read a second time whenever rows are read, to find items that change from one reading to the next."""

SAMPLE = 256
"""Rows that the statistics of a normalisation are taken from."""


def read_images(view: View) -> Images:
    """Return the items of a view as images.

    Raises:
        DataError: they are no uint8 images, or a second reading of the first rows gives other images.
    """
    images = _as_images(view.items())
    first = np.arange(min(REREAD, len(view)))
    again = _as_images(view.take(first).items())
    changed = (images[first] != again).reshape(len(first), -1).any(axis=1)
    if changed.any():
        raise DataError(
            f"items {some(view.ids[first][changed])} were read twice and differ: the items are augmented or otherwise "
            "random where they are read. Scores of such a pool mean nothing. Give the dataset plain images; random "
            "crops and flips for training are settings of the learner."
        )
    return images


def _as_images(items: npt.NDArray[Any]) -> Images:
    if items.dtype != np.uint8 or items.ndim not in (3, 4) or (items.ndim == 4 and items.shape[3] not in (1, 3)):
        raise DataError(
            f"Expected images as uint8 arrays (n, h, w), (n, h, w, 1) or (n, h, w, 3), got {items.dtype} of shape "
            f"{items.shape}. A learner on frozen features, such as 'linear', takes any items; images with values in "
            "0..1 become uint8 by (255 * x).round().astype(np.uint8)."
        )
    return items[..., np.newaxis] if items.ndim == 3 else items


@dataclass(frozen=True, eq=False)
class Normalisation:
    """The transform for scoring, and the last step of the one for training: ``(x - mean) / std`` of every channel.

    Attributes:
        mean: of each channel, in 0..255.
        std: of each channel; 1 where a channel is constant.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Return uint8 images ``(b, channels, h, w)`` as float32, channels last in memory, which the CPU likes best."""
        shape = (1, -1, 1, 1)
        scale = torch.tensor([1 / s for s in self.std], device=x.device).view(shape)
        shift = torch.tensor([-m / s for m, s in zip(self.mean, self.std, strict=True)], device=x.device).view(shape)
        return x.to(torch.float32, memory_format=torch.channels_last).mul_(scale).add_(shift)


def normalisation(labelled: View, pool: View) -> Normalisation:
    """Return the mean and standard deviation of each channel over a sample of labelled and unlabelled rows.

    The sample is the `SAMPLE` rows with the smallest keyed hash of their ids among both views. It does not depend on
    which of them are labelled, so while the pool stays the same, every fit of every round and arm has one
    normalisation. No label is read. Sums are of integers, so the order of rows does not matter.
    """
    distinct = labelled.take(np.unique(labelled.ids, return_index=True)[1])
    key = Seed(0).child("nets", "normalisation").key()
    hashes = [key.hash(view.ids) for view in (distinct, pool)]
    smallest = np.sort(np.concatenate(hashes))[:SAMPLE]
    rows = [np.flatnonzero(hash_n <= smallest[-1]) for hash_n in hashes]
    parts = [view.take(r) for view, r in zip((distinct, pool), rows, strict=True) if len(r)]
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for part in (chunk for view in parts for chunk in view.stream(64)):
        values = read_images(part).astype(np.int64)
        count += values[..., 0].size
        total = total + values.sum(axis=(0, 1, 2))
        squares = squares + np.square(values).sum(axis=(0, 1, 2))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return Normalisation(tuple(mean.tolist()), tuple(np.where(std > 0.5, std, 1.0).tolist()))
