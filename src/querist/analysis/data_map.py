"""Data maps: how each training label fared while a model was trained on it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Bools, Ids, require_finite, some
from querist.errors import DataError

HARD, EASY = 0.33, 0.67
"""Confidence below which a label is hard to learn, and above which it is easy; in between it is ambiguous."""


class DataMap(NamedTuple):
    """One row per labelled item, ascending by id. It is made from labels: never a reason to pick an item."""

    ids: Ids
    """``(l,)``."""
    confidence: npt.NDArray[np.float64]
    """``(l,)`` mean over epochs of the probability of the label."""
    variability: npt.NDArray[np.float64]
    """``(l,)`` their standard deviation, over all epochs and not over a sample of them."""
    correctness: npt.NDArray[np.float64]
    """``(l,)`` share of the epochs in which the label was the likeliest class."""
    forgetting: npt.NDArray[np.int64]
    """``(l,)`` how often it was right in one epoch and wrong in the next."""
    learnt: Bools
    """``(l,)`` whether it ever was right. One that never was has no forgetting to count, and is no easy one for it."""

    @property
    def regions(self) -> npt.NDArray[np.str_]:
        """``(l,)`` ``hard``, ``ambiguous`` or ``easy``, by confidence."""
        return np.select([self.confidence < HARD, self.confidence > EASY], ["hard", "easy"], "ambiguous")


def data_map(ids: Ids, epochs: npt.NDArray[np.integer], p_true: Array, correct: Bools) -> DataMap:
    """Return the data map of a training, from one row per item and epoch, in any order.

    Swayamdipta et al., "Dataset Cartography", EMNLP 2020; forgetting events: Toneva et al., ICLR 2019.

    Args:
        ids: ``(e l,)``.
        epochs: ``(e l,)`` numbers that ascend with training.
        p_true: ``(e l,)`` probability of the label after that epoch.
        correct: ``(e l,)`` whether the label was the likeliest class.

    Raises:
        DataError: columns differ in length, a probability is none, or an item lacks an epoch or has one twice.
    """
    lengths = {len(column) for column in (ids, epochs, p_true, correct)}
    if len(lengths) > 1:
        raise DataError(f"Expected columns of one length, got {sorted(lengths)}.")
    require_finite(p_true, "p_true", ids)
    if ((p_true < 0) | (p_true > 1)).any():
        raise DataError(f"Expected probabilities, got values from {p_true.min()} to {p_true.max()} in p_true.")
    items, seen = np.unique(ids), np.unique(epochs)
    order = np.lexsort((epochs, ids))
    whole = len(ids) == len(items) * len(seen)
    if not whole or (epochs[order].reshape(len(items), -1) != seen).any():
        times, counts = np.unique(np.stack([ids, epochs]), axis=1, return_counts=True)
        known, rows = np.unique(times[0], return_counts=True)
        wrong = np.union1d(times[0][counts > 1], known[rows != len(seen)])
        raise DataError(f"items {some(wrong)} do not have each of the {len(seen)} epochs once.")
    p = p_true[order].reshape(len(items), -1).astype(np.float64)
    right = correct[order].reshape(len(items), -1)
    return DataMap(
        ids=items,
        confidence=p.mean(axis=1),
        variability=p.std(axis=1),
        correctness=right.mean(axis=1),
        forgetting=(right[:, :-1] & ~right[:, 1:]).sum(axis=1),
        learnt=right.max(axis=1),
    )
