"""Farthest-first traversal of class probabilities under the symmetric Kullback-Leibler divergence."""

import numpy as np

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.jit import jit
from querist.kernels.workers import each_block
from querist.progress import tell

BLOCK = 2048
"""Rows that one thread takes at a time."""


def divergence_first(
    p_N_c: Array, centres: Rows, open_N: Bools, tie_N: Hashes, b: int, floor: float
) -> tuple[Rows, Array]:
    """Return `b` rows, each the farthest from all centres and earlier picks, and how far each was, in nats.

    The distance is ``(KL(p || q) + KL(q || p)) / 2 = sum_c (p_c - q_c) (log p_c - log q_c) / 2``, a sum of terms none
    of which is below 0: equal rows are at a distance of exactly 0. It is no metric, so nothing bounds the covering
    radius as it does for Euclidean distances. Time O((centres + b) N c), memory O(N c).

    Args:
        p_N_c: class probabilities.
        centres: rows that are covered already; without any the first pick is the smallest `tie_N`, at distance inf.
        open_N: rows that may be picked; at least `b`.
        tie_N: among equally far rows the smallest wins.
        b: number of picks.
        floor: probabilities below it count as it, so that logarithms are finite.

    Returns:
        Rows in the order picked and their distances.
    """
    n, c = p_N_c.shape
    p_c_N, log_c_N = np.empty((c, n)), np.empty((c, n))
    near_N = np.where(open_N, np.inf, -1.0)

    def work(block: slice) -> None:
        p_c_m = np.maximum(np.asarray(p_N_c[block], np.float64), floor).T
        p_c_N[:, block] = p_c_m
        log_c_N[:, block] = np.log(p_c_m)

    each_block(work, n, BLOCK)

    def approach(block: slice) -> None:
        for row in centres:
            _approach(p_c_N[:, block], log_c_N[:, block], p_c_N[:, row].copy(), log_c_N[:, row].copy(), near_N[block])

    each_block(approach, n, BLOCK)
    rows, gap = np.empty(b, np.intp), np.empty(b)
    for step in range(b):
        best = near_N.max()
        tied = np.flatnonzero(near_N == best)
        row = tied[tie_N[tied].argmin()]
        rows[step], gap[step] = row, best
        near_N[row] = -1.0
        _approach(p_c_N, log_c_N, p_c_N[:, row].copy(), log_c_N[:, row].copy(), near_N)
        tell("picking", step + 1, b)
    return rows, gap


@jit
def _approach(p_c_m, log_c_m, q_c, log_q_c, near_m):
    """Lower `near_m` by one more centre; rows below 0 are closed and stay so."""
    width = 256
    total_w = np.empty(width)
    for start in range(0, len(near_m), width):
        stop = min(start + width, len(near_m))
        total_w[:] = 0.0
        for y in range(len(q_c)):
            p_w, log_w = p_c_m[y, start:stop], log_c_m[y, start:stop]
            q, log_q = q_c[y], log_q_c[y]
            for i in range(stop - start):
                total_w[i] += (p_w[i] - q) * (log_w[i] - log_q)
        for i in range(start, stop):
            near_m[i] = min(near_m[i], 0.5 * total_w[i - start])
