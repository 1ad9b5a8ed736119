"""How differently a model answers for a row and for the labelled rows nearest to it."""

import numpy as np

from querist.arrays import Array
from querist.kernels.inner import scores
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

ENTRIES = 2**20
"""Similarities, rows times labelled rows, that one thread holds at a time."""


def contrast(p_n_c: Array, x_n_d: Array, p_l_c: Array, x_l_d: Array, k: int, floor: float) -> Array:
    """Return ``(n,)``: the mean of ``KL(p_j || p_i)`` in nats over the `k` labelled rows j most similar to row i.

    Similar are rows with a large inner product. Among equally similar labelled rows the first ones are taken; with
    fewer than `k` of them all are. Terms are ``p_j (log p_j - log p_i)``, so that answers which are the same give
    exactly 0. A row's bits depend on no other row. Time O(n l d), memory O(n + l c + block).

    Args:
        p_n_c: class probabilities of the rows.
        x_n_d: the rows, of unit length if the cosine is to decide.
        p_l_c: class probabilities of the labelled rows, ``l >= 1``.
        x_l_d: the labelled rows.
        k: neighbours, at least 1.
        floor: probabilities below it count as it in a logarithm.
    """
    k = min(k, len(x_l_d))
    value_n = np.empty(len(x_n_d))
    p_l_c = np.maximum(np.asarray(p_l_c, np.float64), 0.0)
    log_l_c = np.log(np.maximum(p_l_c, floor))

    def work(block: slice) -> None:
        similarity_m_l = scores(x_n_d[block], x_l_d)
        _contrast(similarity_m_l, dense(p_n_c[block]), p_l_c, log_l_c, k, floor, value_n[block])

    each_block(work, len(x_n_d), max(1, ENTRIES // len(x_l_d)))
    return value_n


@jit
def _contrast(similarity_m_l, p_m_c, p_l_c, log_l_c, k, floor, value_m):
    """Fill `value_m` with the mean divergence from the most similar labelled rows."""
    l, c = p_l_c.shape
    near_k, place_k, log_c = np.empty(k), np.empty(k, np.int64), np.empty(c)
    for i in range(len(value_m)):
        similarity_l = similarity_m_l[i]
        held = 0
        if k == l:
            place_k[:] = np.arange(l)
        for j in range(l if k < l else 0):
            near = similarity_l[j]
            if held == k and not near > near_k[k - 1]:
                continue
            # Kept in order, nearest first; an equal one that came earlier stays before.
            at = min(held, k - 1)
            while at > 0 and near > near_k[at - 1]:
                near_k[at], place_k[at] = near_k[at - 1], place_k[at - 1]
                at -= 1
            near_k[at], place_k[at] = near, j
            held = min(held + 1, k)
        for y in range(c):
            log_c[y] = np.log(max(np.float64(p_m_c[i, y]), floor))
        total = 0.0
        for e in range(k):
            p_c, log_p_c = p_l_c[place_k[e]], log_l_c[place_k[e]]
            for y in range(c):
                total += p_c[y] * (log_p_c[y] - log_c[y])
        value_m[i] = max(total / k, 0.0)
