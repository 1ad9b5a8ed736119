"""Rank correlation with a bootstrap interval: whether what a first pool looks like tells how it ends."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array
from querist.errors import DataError

FEWEST = 20
"""Pools below which no correlation is shown."""
RESAMPLES = 2000
BLOCK = 250
"""Resamples that are looked at together."""


class Correlation(NamedTuple):
    """Of two numbers per pool. NaN where one of them is the same for all.

    Attributes:
        rho: Spearman's rank correlation.
        lower: lower end of its bootstrap interval.
        upper: upper end.
        pearson: Pearson's correlation of the numbers themselves.
        n: pools.
    """

    rho: float
    lower: float
    upper: float
    pearson: float
    n: int


def mid_ranks(values: npt.ArrayLike) -> Array:
    """Return ranks from 1, equal values sharing the mean of theirs."""
    _, group, count = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[group]


def correlation(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Correlation:
    """Return Spearman's correlation of two numbers per pool, with a percentile bootstrap over pools.

    A resample draws pools with replacement and ranks them afresh, ties sharing their ranks; those in which one number
    is the same everywhere have no correlation and are left out.

    Args:
        x: ``(n,)``.
        y: ``(n,)``, of the same pools.
        generator: draws the resamples.
        level: of the interval.
        resamples: how many.

    Raises:
        DataError: other shapes, or values that are not finite.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError(f"Expected two finite numbers per pool, got shapes {a.shape} and {b.shape}.")
    n = len(a)
    every = np.ones((1, n))
    rho = float(_weighted_spearman(a, b, every)[0]) if n > 1 else np.nan
    pearson = float(_pearson(a[None], b[None], every)[0]) if n > 1 else np.nan
    lower = upper = np.nan
    if rho == rho:
        counts = generator.multinomial(n, np.full(n, 1 / n), size=resamples)
        parts = [_weighted_spearman(a, b, counts[start : start + BLOCK]) for start in range(0, resamples, BLOCK)]
        drawn = np.concatenate(parts)
        drawn = drawn[np.isfinite(drawn)]
        if len(drawn):
            lower, upper = (float(q) for q in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    return Correlation(rho, lower, upper, pearson, n)


def _weighted_spearman(a: Array, b: Array, count_r_n: npt.NDArray[np.generic]) -> Array:
    """Spearman's correlation of multisets that hold item n so many times, ``(r,)``."""
    weight = np.asarray(count_r_n, np.float64)
    return _pearson(_weighted_ranks(a, weight), _weighted_ranks(b, weight), weight)


def _weighted_ranks(values: Array, weight_r_n: Array) -> Array:
    """Mid-ranks within multisets: half of one's own group, and all that come before it."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    size_r_g = np.add.reduceat(weight_r_n[:, order], first, axis=1)
    return (np.cumsum(size_r_g, axis=1) - (size_r_g - 1) / 2)[:, group]


def _pearson(a_r_n: Array, b_r_n: Array, weight_r_n: Array) -> Array:
    total = weight_r_n.sum(axis=1, keepdims=True)
    a = a_r_n - (weight_r_n * a_r_n).sum(axis=1, keepdims=True) / total
    b = b_r_n - (weight_r_n * b_r_n).sum(axis=1, keepdims=True) / total
    both, aa, bb = ((weight_r_n * p).sum(axis=1) for p in (a * b, a * a, b * b))
    # What is left of equal values after rounding has no spread.
    scale = np.abs(a_r_n).max(axis=1) * np.abs(b_r_n).max(axis=1) * total[:, 0]
    spread = np.sqrt(aa * bb)
    return np.where(spread > 1e-13 * scale, both / np.where(spread > 0, spread, 1.0), np.nan).clip(-1, 1)
