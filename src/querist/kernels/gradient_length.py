"""Lengths of last-layer gradients, expected over what the label may be."""

import numpy as np

from querist.arrays import Array
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

BLOCK = 4096
"""Rows that one thread takes at a time."""


def expected_residual(p_n_c: Array) -> Array:
    """Return ``(n,)``: ``sum_c p_c |p - e_c|``, the length of the residual expected under the prediction itself.

    Between 0 (certain) and ``sqrt(1 - 1 / C)`` (torn between all C classes). Squared lengths are sums of squares, from
    which nothing is subtracted: rows that are all but certain keep their order.
    """
    value_n = np.empty(len(p_n_c))

    def work(block: slice) -> None:
        _expected(dense(p_n_c[block]), value_n[block])

    each_block(work, len(p_n_c), BLOCK)
    return value_n


def lengths(x_n_d: Array, more: float = 0.0) -> Array:
    """Return ``(n,)``: the Euclidean norms of rows that continue with an entry whose square is `more`."""
    value_n = np.empty(len(x_n_d))

    def work(block: slice) -> None:
        _lengths(dense(x_n_d[block]), more, value_n[block])

    each_block(work, len(x_n_d), BLOCK)
    return value_n


@jit
def _expected(p_m_c, value_m):
    m, c = p_m_c.shape
    after_c, behind_c = np.empty(c + 1), np.empty(c + 1)
    for i in range(m):
        p_c = p_m_c[i]
        # What the other classes have, added up: 1 - p would lose the digits of a prediction that is all but certain.
        after_c[c] = behind_c[c] = 0.0
        for y in range(c - 1, -1, -1):
            p = np.float64(p_c[y])
            after_c[y], behind_c[y] = after_c[y + 1] + p, behind_c[y + 1] + p * p
        total = before = squares = 0.0
        for y in range(c):
            p = np.float64(p_c[y])
            others = before + after_c[y + 1]
            total += p * np.sqrt(others * others + squares + behind_c[y + 1])
            before, squares = before + p, squares + p * p
        value_m[i] = max(total, 0.0)


@jit
def _lengths(x_m_d, more, value_m):
    for i in range(len(x_m_d)):
        u = x_m_d[i]
        total = 0.0
        for j in range(len(u)):
            total += np.float64(u[j]) * np.float64(u[j])
        value_m[i] = np.sqrt(total + more)
