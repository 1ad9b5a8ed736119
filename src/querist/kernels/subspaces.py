"""How much rows cover in random coordinate subspaces, and how much of that nearby rows cover already."""

import numpy as np

from querist.arrays import Array, Hashes
from querist.kernels.jit import jit
from querist.progress import tell

BLOCK = 2048
"""Rounds whose draws are made together."""

PART = 4096
"""Rows whose distances are computed while they are in the cache."""

SAMPLE = 1024
"""Distances among which a bound for the last neighbour that counts is sought."""


def subspace_scores(
    x_N_d: Array,
    tie_N: Hashes,
    rounds: int,
    generator: np.random.Generator,
    *,
    dims: int = 2,
    neighbours: int = 1000,
    exponent: float = 4.0,
) -> Array:
    """Return ``(N,)`` scores: coverage minus redundancy, summed over random points of random coordinate subspaces.

    In each round `dims` coordinates are drawn, and in each of them a value from the triangular distribution between the
    least and the greatest one with its peak at the median. The row nearest to that point scores 1. Its `neighbours`
    nearest rows, and all as near as the last of them, share a penalty of 1 in proportion to ``distance^-exponent``; if
    some lie at distance 0, these alone share it equally. Distances are sums of absolute differences. Griffin, Marks &
    Corso 2024, arXiv 2411.15349; in their code one of several rows at distance 0 bears the penalty alone.

    Time O(rounds N), memory for one copy of the points.

    Args:
        x_N_d: points.
        tie_N: of equally near rows the smallest wins.
        rounds: how many points are drawn.
        generator: where they come from; rows in another order have the same scores.
        dims: coordinates of a subspace; all, if there are fewer.
        neighbours: rows that share a penalty.
        exponent: how fast the penalty falls with the distance.
    """
    N, d = x_N_d.shape
    score_N, gap_N, near_N, rows_N = np.zeros(N), np.empty(N), np.empty(N), np.empty(N, np.intp)
    x_d_N = np.ascontiguousarray(x_N_d.T, dtype=np.float32)
    low_d, peak_d, high_d = (f(x_d_N, axis=1).astype(np.float64) for f in (np.min, np.median, np.max))
    dims = min(dims, d)
    for start in range(0, rounds, BLOCK):
        m = min(BLOCK, rounds - start)
        axis_m_s = generator.random((m, d)).argpartition(dims - 1, axis=1)[:, :dims]
        u_m_s = generator.random((m, dims))
        point_m_s = triangular(u_m_s, low_d[axis_m_s], peak_d[axis_m_s], high_d[axis_m_s])
        _score(x_d_N, axis_m_s, point_m_s, tie_N, min(neighbours, N - 1), exponent, gap_N, near_N, rows_N, score_N)
        tell("drawing points", start + m, rounds)
    return score_N


def triangular(u: Array, low: Array, peak: Array, high: Array) -> Array:
    """Return the quantiles `u` of triangular distributions; a distribution of no width gives its only value."""
    width, rise = high - low, peak - low
    left = low + np.sqrt(u * width * rise)
    right = high - np.sqrt((1.0 - u) * width * (high - peak))
    return np.where(u * width < rise, left, right)


@jit
def _score(x_d_N, axis_m_s, point_m_s, tie_N, k, exponent, gap_N, near_N, rows_N, score_N):
    """Add the scores of some rounds to `score_N`; `gap_N`, `near_N` and `rows_N` are scratch."""
    N = len(score_N)
    for r in range(len(axis_m_s)):
        pick, best = -1, np.inf
        for start in range(0, N, PART):
            stop = min(start + PART, N)
            gap_N[start:stop] = 0.0
            for s in range(axis_m_s.shape[1]):
                x_N, p = x_d_N[axis_m_s[r, s]], point_m_s[r, s]
                for i in range(start, stop):
                    gap_N[i] += abs(np.float64(x_N[i]) - p)
            least = np.inf
            for i in range(start, stop):
                least = min(least, gap_N[i])
            if least <= best:
                for i in range(start, stop):
                    if gap_N[i] < best or (gap_N[i] == best and tie_N[i] < tie_N[pick]):
                        pick, best = i, gap_N[i]
        score_N[pick] += 1.0
        if k < 1:
            continue

        same, least = -1, np.inf
        for start in range(0, N, PART):
            stop = min(start + PART, N)
            gap_N[start:stop] = 0.0
            for s in range(axis_m_s.shape[1]):
                x_N = x_d_N[axis_m_s[r, s]]
                p = np.float64(x_N[pick])
                for i in range(start, stop):
                    gap_N[i] += abs(np.float64(x_N[i]) - p)
            for i in range(start, stop):
                same += gap_N[i] == 0.0
        gap_N[pick] = np.inf
        if same > 0:
            for i in range(N):
                if gap_N[i] == 0.0:
                    score_N[i] -= 1.0 / same
            continue

        # The k-th smallest distance is sought among the few below a bound that a sample says about 2 k rows keep.
        step = max(1, N // SAMPLE)
        count = 0
        for i in range(0, N, step):
            near_N[count] = gap_N[i]
            count += 1
        at = min(count - 1, 8 + 2 * k * count // N)
        bound = np.partition(near_N[:count], at)[at]
        count = _below(gap_N, bound, rows_N)
        if count < k:
            count = _below(gap_N, np.inf, rows_N)
        for e in range(count):
            near_N[e] = gap_N[rows_N[e]]
            least = min(least, near_N[e])
        limit = np.partition(near_N[:count], k - 1)[k - 1]
        total = 0.0
        for e in range(count):
            near_N[e] = (least / gap_N[rows_N[e]]) ** exponent if gap_N[rows_N[e]] <= limit else 0.0
            total += near_N[e]
        for e in range(count):
            score_N[rows_N[e]] -= near_N[e] / total


@jit
def _below(gap_N, bound, rows_N):
    """List the rows at finite distances up to a bound; return how many there are."""
    count = 0
    for i in range(len(gap_N)):
        rows_N[count] = i
        count += (gap_N[i] <= bound) & (gap_N[i] < np.inf)
    return count
