"""What a pool and a choice from it look like: classes, distances to what is labelled, balls, and near-duplicates."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Labels, Rows
from querist.kernels import pairs
from querist.kernels.jit import dense
from querist.kernels.neighbours import nearest_neighbours
from querist.kernels.owners import owners

NEAR = 0.1
"""Pairs closer than this share of the typical distance to a nearest neighbour are called near-duplicates."""

LISTED = 50
"""Pairs that are named."""


class ClassCounts(NamedTuple):
    """How some labels fall on the declared classes.

    Attributes:
        count_c: labels of each class.
        coverage: share of the declared classes that have one.
        entropy: of the histogram in bits, ``0 log 0 = 0``; NaN without labels.
    """

    count_c: npt.NDArray[np.int64]
    coverage: float
    entropy: float

    @property
    def evenness(self) -> float:
        """The entropy as a share of what equal counts in all classes would have."""
        return self.entropy / float(np.log2(len(self.count_c)))


def class_counts(label_n: Labels, c: int) -> ClassCounts:
    """Return counts, coverage and entropy of labels, all in 0..c-1."""
    count_c = np.bincount(label_n, minlength=c).astype(np.int64)
    share = count_c[count_c > 0] / max(1, count_c.sum())
    entropy = float(-(share * np.log2(share)).sum()) + 0.0 if len(share) else float("nan")
    return ClassCounts(count_c, float(np.count_nonzero(count_c) / c), entropy)


def nearest_labelled(x_N_d: Array, rows: Rows, rounds: Sequence[Rows]) -> Array:
    """Return ``(len(rounds), len(rows))``: the distance of each row to what is labelled after each round.

    Args:
        x_N_d: points.
        rows: whose distances to tell.
        rounds: what each round labelled, at least one row each.
    """
    found = [owners(x_N_d, rows, picks)[1] for picks in rounds]
    return np.minimum.accumulate(np.array(found).reshape(len(rounds), len(rows)), axis=0)


def pure_until(x_N_d: Array, label_N: Labels, rows: Rows) -> Array:
    """Return ``(m,)``: up to which radius the ball of each row holds its own label only; inf with one label.

    The share of balls pure at radius r is that of values of at least r (Yehuda et al., NeurIPS 2022). The balls are
    open: at a row's own value it is still pure.
    """
    gap = np.empty(len(rows))
    pairs.nearest_others(dense(x_N_d), np.ascontiguousarray(rows, np.intp), label_N.astype(np.int64), gap)
    return np.sqrt(gap)


class NearPairs(NamedTuple):
    """The nearest pairs of rows, and how many rows have another one nearer than a threshold.

    Attributes:
        threshold: distance below which two rows are near-duplicates.
        rows: how many have one.
        worst: ``(m, 2)`` the nearest pairs, however near, nearest first and each once; at most `LISTED`.
        distance: ``(m,)`` of these.
    """

    threshold: float
    rows: int
    worst: Rows
    distance: Array


def near_within(x_n_d: Array, *, threshold: float | None = None) -> NearPairs:
    """Return near-duplicates among rows: how many rows have one, and the nearest pairs of a row and its nearest other.

    Args:
        x_n_d: points.
        threshold: distance; by default `NEAR` times the median distance of a row to its nearest other one, copies left
            out.
    """
    index, gap = nearest_neighbours(x_n_d, 1)
    if not index.size:
        return NearPairs(threshold or 0.0, 0, np.empty((0, 2), np.intp), np.empty(0))
    other, gap = index[:, 0], gap[:, 0]
    apart = gap[gap > 0]
    limit = threshold if threshold is not None else NEAR * float(np.median(apart)) if len(apart) else 0.0
    both = np.sort(np.stack([np.arange(len(other)), other], axis=1), axis=1)
    both, first = np.unique(both, axis=0, return_index=True)
    order = np.lexsort((both[:, 1], both[:, 0], gap[first]))[:LISTED]
    return NearPairs(limit, int(((gap < limit) | (gap == 0)).sum()), both[order], gap[first][order])


def near_across(x_N_d: Array, held: Rows, pool: Rows, threshold: float) -> NearPairs:
    """Return near-duplicates of `held` rows (of a test split, say) among those of the pool.

    The first of each pair is the held row, the second that of the pool; `rows` counts held rows.
    """
    if not len(held) or not len(pool):
        return NearPairs(threshold, 0, np.empty((0, 2), np.intp), np.empty(0))
    index, gap = owners(x_N_d, held, pool)
    order = np.lexsort((held, gap))[:LISTED]
    worst = np.stack([held[order], pool[index[order]]], axis=1)
    return NearPairs(threshold, int(((gap < threshold) | (gap == 0)).sum()), worst, gap[order])
