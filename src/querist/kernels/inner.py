"""Inner products of many rows with a few vectors, and their softmax; a row's bits depend on no other row."""

import numpy as np
from numba import njit

from querist.arrays import Array
from querist.kernels.jit import dense, jit

BLOCK = 64
"""Rows taken together; always as many, padded with what was there before, so that every row meets the same code."""


def scores(x_n_d: Array, w_m_d: Array) -> Array:
    """Return the inner products ``(n, m)`` of two sets of rows in float64.

    A matrix library would choose another order of summation for another number of rows. Here row i of the result is a
    function of row i of `x_n_d` alone, bit for bit, and equal rows of `w_m_d` give equal columns.
    """
    out = np.empty((len(x_n_d), len(w_m_d)))
    _scores(dense(x_n_d), np.array(w_m_d, dtype=np.float64, order="C"), out)
    return out


def softmax(z_n_c: Array) -> Array:
    """Return the softmax of each row, ``(n, c)`` float64; entries of minus infinity give exactly 0."""
    p = np.exp(z_n_c - z_n_c.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p


@njit(nogil=True, fastmath={"contract"})
def _block(w, x, z):
    for k in range(len(w)):
        wk, zk = w[k], z[k]
        zk[:] = 0.0
        j = 0
        while j + 4 <= len(x):
            w0, w1, w2, w3 = wk[j], wk[j + 1], wk[j + 2], wk[j + 3]
            x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
            for i in range(BLOCK):
                zk[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]
            j += 4
        while j < len(x):
            w0, x0 = wk[j], x[j]
            for i in range(BLOCK):
                zk[i] += w0 * x0[i]
            j += 1


@jit
def _scores(x, w, out):
    n, d = x.shape
    columns, z = np.zeros((d, BLOCK)), np.empty((len(w), BLOCK))
    for first in range(0, n, BLOCK):
        rows = min(BLOCK, n - first)
        for i in range(rows):
            for j in range(d):
                columns[j, i] = x[first + i, j]
        _block(w, columns, z)
        for i in range(rows):
            for k in range(len(w)):
                out[first + i, k] = z[k, i]
