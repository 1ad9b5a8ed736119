"""Draws in proportion to squared distance, on gradients that are never written out."""

from collections.abc import Callable

import numpy as np

from querist.arrays import Array, Hashes, Rows
from querist.kernels.jit import dense, jit


def gradient_seeding(
    residual_n_c: Array,
    embedding_n_d: Array,
    b: int,
    tie_n: Hashes,
    uniform: Callable[[int], Array],
    *,
    bias: bool = False,
) -> tuple[Rows, Array]:
    """Return `b` rows by k-means++ seeding of last-layer gradients, and each one's distance when it was drawn.

    Row i stands for the gradient ``g_i = residual_i (x) embedding_i`` with c times d entries. The first pick has the
    largest ``|g_i|``; then i is drawn with probability in proportion to ``D_i^2``, the squared distance of ``g_i`` to
    the nearest pick. When nothing has any distance left, the smallest hashes are taken. Arthur & Vassilvitskii, SODA
    2007; Ash et al., ICLR 2020.

    Args:
        residual_n_c: predicted probabilities minus the one-hot hypothesised label.
        embedding_n_d: input of the last layer.
        b: ``1 <= b <= n``.
        tie_n: breaks ties of the first pick, and chooses when all distances are 0.
        uniform: returns ``(n,)`` numbers in (0, 1) for a step 1, 2, ...; the draw is an exponential race between rows.
        bias: gradients of weights and bias: the embedding continues with a 1.

    Returns:
        Rows in the order picked; for the first its ``|g|``, then ``D``.
    """
    a_n_c, z_n_d = dense(residual_n_c), dense(embedding_n_d)
    if a_n_c.dtype != z_n_d.dtype:
        a_n_c, z_n_d = dense(a_n_c.astype(np.float64)), dense(z_n_d.astype(np.float64))
    n = len(a_n_c)
    rows, gap = np.empty(b, np.intp), np.empty(b)
    z2_n = np.einsum("nd,nd->n", z_n_d, z_n_d, dtype=np.float64) + float(bias)
    near_n = np.einsum("nc,nc->n", a_n_c, a_n_c, dtype=np.float64) * z2_n
    open_n = np.ones(n, np.bool_)
    for step in range(b):
        if step == 0:
            best = _first(np.flatnonzero(near_n == near_n.max()), tie_n)
        elif near_n.max() > 0.0:
            # The race -log(u) / D^2 in logarithms: a tiny D^2 would overflow the quotient.
            with np.errstate(divide="ignore"):
                best = int((np.log(-np.log(uniform(step))) - np.log(near_n)).argmin())
        else:
            best = _first(np.flatnonzero(open_n), tie_n)
        rows[step], gap[step], open_n[best] = best, near_n[best], False
        if step == 0:
            near_n[:] = np.inf
        if step < b - 1:
            _approach(a_n_c, z_n_d, z2_n, best, near_n)
            near_n[best] = 0.0
    return rows, np.sqrt(gap)


def _first(rows: Rows, tie_n: Hashes) -> int:
    return int(rows[tie_n[rows].argmin()])


@jit
def _approach(a_n_c, z_n_d, z2_n, pick, near_n):
    """Lower the squared distances `near_n` to those to a new pick.

    With p the pick, g_i - g_p = (a_i - a_p) (x) z_i + a_p (x) (z_i - z_p). Its squared norm, written out, is made of
    differences only: exactly 0 for a duplicate of the pick, and nothing cancels near one.
    """
    n, c = a_n_c.shape
    d = z_n_d.shape[1]
    a_p, z_p = a_n_c[pick], z_n_d[pick]
    a2_p = 0.0
    for j in range(c):
        a2_p += np.float64(a_p[j]) * np.float64(a_p[j])
    for i in range(n):
        if near_n[i] == 0.0:
            continue
        a, z = a_n_c[i], z_n_d[i]
        da_da = da_a = 0.0
        for j in range(c):
            difference = np.float64(a[j]) - np.float64(a_p[j])
            da_da += difference * difference
            da_a += difference * np.float64(a_p[j])
        dz_dz = dz_z = 0.0
        for j in range(d):
            difference = np.float64(z[j]) - np.float64(z_p[j])
            dz_dz += difference * difference
            dz_z += difference * np.float64(z[j])
        squared = da_da * z2_n[i] + a2_p * dz_dz + 2.0 * da_a * dz_z
        near_n[i] = min(near_n[i], max(squared, 0.0))
