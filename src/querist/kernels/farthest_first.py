"""Farthest-first traversal: greedily covers a set of points with balls of the smallest radius."""

import numpy as np

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.jit import dense, jit


def farthest_first(x_N_d: Array, centres: Rows, open_N: Bools, tie_N: Hashes, b: int) -> tuple[Rows, Array]:
    """Return `b` rows, each the farthest from all centres and earlier picks, and how far each was.

    Distances are sums of squared differences in float64, so that nothing cancels: an exact duplicate of a centre is at
    distance 0, a near one never at the root of a negative number. Gonzalez, TCS 1985; Sener & Savarese, ICLR 2018.

    Args:
        x_N_d: points.
        centres: rows that are covered already; without any the first pick is the smallest `tie_N`, at distance inf.
        open_N: rows that may be picked; at least `b`.
        tie_N: among equally far rows the smallest wins.
        b: number of picks.

    Returns:
        Rows in the order picked and their Euclidean distances, which never increase.
    """
    rows, gap = np.empty(b, np.intp), np.empty(b)
    _traverse(dense(x_N_d), np.ascontiguousarray(centres, np.intp), open_N.copy(), tie_N, rows, gap)
    return rows, np.sqrt(gap)


def nearest_to_mean(x_N_d: Array, open_N: Bools, tie_N: Hashes) -> int:
    """Return the open row nearest to the mean of all rows, ties by smallest `tie_N`."""
    mean_d = x_N_d.mean(axis=0, dtype=np.float64)
    gap_N = np.empty(len(x_N_d))
    for start in range(0, len(x_N_d), 1024):
        block = slice(start, start + 1024)
        gap_N[block] = np.square(x_N_d[block] - mean_d).sum(axis=1)
    rows = np.flatnonzero(open_N & (gap_N == gap_N[open_N].min()))
    return int(rows[tie_N[rows].argmin()])


@jit
def _traverse(x_N_d, centres, open_N, tie_N, rows, gap):
    """Fill `rows` and the squared distances `gap`; closes the rows it picks."""
    N, d = x_N_d.shape
    near_N = np.full(N, np.inf)
    for step in range(len(rows)):
        fresh = centres if step == 0 else rows[step - 1 : step]
        best, best_gap = -1, -1.0
        for i in range(N):
            if not open_N[i]:
                continue
            u = x_N_d[i]
            near = near_N[i]
            for c in fresh:
                v = x_N_d[c]
                total = 0.0
                for j in range(d):
                    difference = np.float64(u[j]) - np.float64(v[j])
                    total += difference * difference
                near = min(near, total)
            near_N[i] = near
            if near > best_gap or (near == best_gap and tie_N[i] < tie_N[best]):
                best, best_gap = i, near
        rows[step], gap[step] = best, best_gap
        open_N[best] = False
