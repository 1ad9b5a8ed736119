"""Rows seen from the mean of a pool: along its principal axes, as directions, and how far apart these are."""

from collections.abc import Iterator

import numpy as np

from querist.arrays import Array, Rows
from querist.kernels.inner import scores
from querist.kernels.pca import principal_axes
from querist.progress import tell

BLOCK = 4096
"""Rows that are turned at a time."""

ROUNDING = 1e-6
"""Below this share of the typical length, what is left of a row after centring is rounding of its float32 numbers."""


def principal_rows(x_N_d: Array, pool: Rows, k: int) -> Array:
    """Return ``(N, min(k, d, pool))`` float32: the rows minus the mean of the pool, along the pool's principal axes.

    All are divided by one number, the root of the mean squared length of the pool's rows, so that these have length 1
    on average. Neither a constant added to all rows nor a common factor changes the result. A row's bits depend on the
    row, the mean and the axes alone, so equal rows stay equal.

    Args:
        x_N_d: rows of the pool and others.
        pool: which rows mean and axes are those of; at least one.
        k: the most axes.
    """

    def blocks() -> Iterator[Array]:
        for start in range(0, len(pool), BLOCK):
            yield x_N_d[pool[start : start + BLOCK]]

    mean_d, axes_d_k = principal_axes(blocks, len(pool), x_N_d.shape[1], min(k, x_N_d.shape[1], len(pool)))
    turned_N_k = np.empty((len(x_N_d), axes_d_k.shape[1]), np.float32)
    for start in range(0, len(x_N_d), BLOCK):
        block = slice(start, start + BLOCK)
        turned_N_k[block] = scores(x_N_d[block], axes_d_k.T) - mean_d @ axes_d_k
        tell("turning features", min(start + BLOCK, len(x_N_d)), len(x_N_d))
    square = float(np.square(turned_N_k[pool], dtype=np.float64).sum(axis=1).mean())
    before = float(np.mean([np.square(block, dtype=np.float64).sum(axis=1).mean() for block in blocks()]))
    if square <= ROUNDING**2 * before:
        turned_N_k[:] = 0.0
        return turned_N_k
    turned_N_k /= np.sqrt(square, dtype=np.float32)
    return turned_N_k


def directions(x_N_d: Array) -> Array:
    """Return the rows as unit vectors, ``(N, d)`` float32; a row that is nearly 0 beside the longest becomes 0."""
    wide_N_d = x_N_d.astype(np.float64)
    norm_N = np.sqrt(np.square(wide_N_d).sum(axis=1))
    apart_N = norm_N > 10 * ROUNDING * norm_N.max(initial=0.0)
    return np.where(apart_N[:, None], wide_N_d / np.where(apart_N, norm_N, 1.0)[:, None], 0.0).astype(np.float32)


def median_distance(x_n_d: Array) -> float:
    """Return the median Euclidean distance between two of the rows, equal rows left out; 0 if all are equal."""
    x_n_d = x_n_d.astype(np.float64)
    square_n = np.square(x_n_d).sum(axis=1)
    gap_n_n = square_n[:, None] + square_n - 2.0 * (x_n_d @ x_n_d.T)
    gap_n_n[np.tri(len(x_n_d), dtype=bool)] = 0.0  # every pair once
    apart = gap_n_n[gap_n_n > 1e-10 * float(square_n.max(initial=0.0))]
    if not len(apart):
        return 0.0
    half = len(apart) // 2
    split = np.partition(apart, half)  # at one place, which is many times as fast as at two
    middle = (split[half] if len(apart) % 2 else split[:half].max()), split[half]
    return float(np.sqrt(middle).mean())
