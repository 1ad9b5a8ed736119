"""How alike rows are, between 0 and 1: from their directions, or from those of outer products never written out."""

import numpy as np

from querist.arrays import Array, Rows
from querist.kernels.inner import scores
from querist.kernels.jit import dense, jit

BLOCK = 4096
"""Rows taken together."""


class Likeness:
    """``s_ij = (1 + <g_i, g_j>) / 2`` where row i stands for ``g_i``, the outer product of its rows in all factors.

    With one factor g is its row. With two, ``<g_i, g_j> = <a_i, a_j> <z_i, z_j>``: last-layer gradients take no more
    memory than their factors. Of rows of length one ``<g_i, g_j>`` is their cosine, and ``s`` is positive semidefinite,
    for it is the sum of a constant and a product of such kernels.

    Attributes:
        factors: one or two matrices ``(N, d_k)`` with rows of length one.
    """

    def __init__(self, *factors: Array) -> None:
        self.factors = tuple(dense(factor) for factor in factors)

    def __len__(self) -> int:
        return len(self.factors[0])

    def between(self, rows: Rows, others: Rows) -> Array:
        """Return ``(m, t)`` float64, how alike `rows` and `others` are; an entry depends on its two rows alone."""
        out = np.ones((len(rows), len(others)))
        for factor in self.factors:
            _times(factor, np.ascontiguousarray(rows, np.intp), np.ascontiguousarray(others, np.intp), out)
        return 0.5 + 0.5 * out

    def total(self, others: Rows) -> Array:
        """Return ``(N,)``, for every row the sum of its similarities to `others`, in O((N + m) prod_k d_k)."""
        if len(self.factors) == 1:
            (x_N_d,) = self.factors
            sum_d = x_N_d[others].sum(axis=0, dtype=np.float64)
            return 0.5 * (len(others) + scores(x_N_d, sum_d[None])[:, 0])
        a_N_c, z_N_d = self.factors
        sum_c_d = np.zeros((a_N_c.shape[1], z_N_d.shape[1]))
        for start in range(0, len(others), BLOCK):
            part = others[start : start + BLOCK]
            sum_c_d += np.einsum("nc,nd->cd", a_N_c[part].astype(np.float64), z_N_d[part].astype(np.float64))
        total_N = np.empty(len(self))
        for start in range(0, len(self), BLOCK):
            part = slice(start, start + BLOCK)
            total_N[part] = np.einsum("nc,nc->n", a_N_c[part].astype(np.float64), scores(z_N_d[part], sum_c_d))
        return 0.5 * (len(others) + total_N)


@jit
def _times(x_N_d, rows, others, out_m_t):
    """Multiply `out_m_t` by the inner products of rows."""
    for i in range(len(rows)):
        u, out_t = x_N_d[rows[i]], out_m_t[i]
        for t in range(len(others)):
            v = x_N_d[others[t]]
            total = 0.0
            for j in range(len(u)):
                total += np.float64(u[j]) * np.float64(v[j])
            out_t[t] *= total
