"""Batches by Fisher information: forward greedy and backward removal on trace(M^-1 F), with Woodbury updates."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from querist.arrays import Array, Hashes, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.pca import principal_axes
from querist.kernels.threads import single_threaded_blas
from querist.kernels.workers import each_block
from querist.progress import tell

BLOCK = 2**19
"""Numbers that one thread computes at a time."""

ANEW = 32
"""After so many updates the inverse is computed afresh, so that rounding does not add up."""


class Batch(NamedTuple):
    """Rows in the order picked, and the objective on the way."""

    rows: Rows
    gain: Array
    """By how much each pick lowered the objective when it was picked."""
    forward: Array
    """The objective before the first pick and after each one, also those that were removed again."""
    backward: Array
    """The objective after each removal."""


@single_threaded_blas()
def leading(x_N_d: Array, r: int) -> Array:
    """Return rows along the `r` leading axes of their second moment, ``(N, r)`` float64; the rows if there are no more.

    No column is scaled, and the axes depend on all rows alone, so they are those of the last round if the rows are.
    """
    N, d = x_N_d.shape
    if d <= r:
        return np.asarray(x_N_d, np.float64)
    step = max(1, BLOCK // d)
    blocks = [x_N_d[start : start + step] for start in range(0, N, step)]
    # With its negative beside every row the mean is 0: the axes of what there is, not of what differs from the mean.
    _, axes_d_r = principal_axes(lambda: (part for block in blocks for part in (block, -block)), 2 * N, d, r)
    return np.concatenate([block.astype(np.float64) @ axes_d_r for block in blocks])


@single_threaded_blas()
def information(p_n_c: Array, z_n_r: Array) -> Array:
    """Return the sum of the rows' Fisher informations, ``(c r, c r)``.

    Identity: ``sum_i (diag(p_i) - p_i p_i^T) (x) z_i z_i^T``, the Hessian of the cross-entropy of a linear last layer.
    """
    n, c = p_n_c.shape
    r = z_n_r.shape[1]
    total = np.zeros((c, r, c, r))
    step = max(1, BLOCK // (c * r))
    for start in range(0, n, step):
        p, z = p_n_c[start : start + step].astype(np.float64), z_n_r[start : start + step]
        y = (p[:, :, None] * z[:, None, :]).reshape(len(p), c * r)
        total -= (y.T @ y).reshape(c, r, c, r)
        own = y.T @ z
        for k in range(c):
            total[k, :, k, :] += own[k * r : (k + 1) * r]
    return total.reshape(c * r, c * r)


@single_threaded_blas()
def forward_backward(
    p_n_c: Array, z_n_r: Array, fisher: Array, known: Array, share: float, tie_n: Hashes, b: int, *, forward: int
) -> Batch:
    """Return `b` rows that greedily minimise ``tr(M^-1 F)``, ``M = known + share * sum_(i in S) I_i``.

    First `forward` rows are added one by one, each the one that lowers the objective most; then rows are removed one by
    one, each the one whose removal raises it least, until `b` are left. Ash et al., NeurIPS 2021.

    Identity (Woodbury): with ``V V^T = share * I_i``, ``A = M^-1``, ``T = V^T A V`` and ``U = V^T A F A V`` adding row
    i lowers the objective by ``tr(U (1 + T)^-1)``, and removing it raises it by ``tr(U (1 - T)^-1)``. The first is at
    most tr(U) and the second at least, so the inverse is computed only for rows that tr(U) does not rule out. Time per
    step O(n c^2 r^2) at the speed of matrix products, O((c r)^3) once; memory O(n + (c r)^2 + block).

    Args:
        p_n_c: class probabilities.
        z_n_r: inputs of the last layer.
        fisher: F, ``(c r, c r)``.
        known: positive definite, the information there is already.
        share: by how much a row's information counts.
        tie_n: among equal rows the smallest wins.
        b: ``1 <= b <= n``.
        forward: ``b <= forward <= n``.
    """
    search = _Search(dense(p_n_c), z_n_r, fisher, known, share)
    open_n = np.ones(len(p_n_c), np.bool_)
    rows, gain, down, up = [], [], [search.objective], []
    for step in range(forward):
        tell("picking", step, 2 * forward - b)
        row, lowered = search.best(np.flatnonzero(open_n), tie_n)
        search.change(row, 1.0)
        open_n[row] = False
        rows.append(row)
        gain.append(lowered)
        down.append(search.objective)
    for step in range(forward - b):
        tell("picking", forward + step, 2 * forward - b)
        row, _ = search.least(np.array(rows), tie_n)
        search.change(row, -1.0)
        place = rows.index(row)
        rows.pop(place)
        gain.pop(place)
        up.append(search.objective)
    return Batch(np.array(rows, np.intp), np.array(gain), np.array(down), np.array(up))


class _Search:
    """The inverse of M as rows come and go, and what the next row would change."""

    def __init__(self, p_n_c: Array, z_n_r: Array, fisher: Array, known: Array, share: float) -> None:
        self._p_n_c, self._z_n_r, self._fisher, self._m, self._share = p_n_c, z_n_r, fisher, known.copy(), share
        self._c, self._r = p_n_c.shape[1], z_n_r.shape[1]
        self._pair_r, self._pair_c = np.triu_indices(self._r), np.triu_indices(self._c)
        self._changes = 0
        self._invert()

    @property
    def objective(self) -> float:
        """``tr(M^-1 F)``."""
        return float((self._a * self._fisher).sum())

    def change(self, row: int, sign: float) -> None:
        """Add a row, or remove it."""
        v = self._factor(row)
        self._m += sign * (v @ v.T)
        self._changes += 1
        if self._changes % ANEW == 0:
            self._invert()
            return
        w = self._a @ v
        self._a -= w @ np.linalg.solve(np.eye(self._c) * sign + v.T @ w, w.T)
        self._a = 0.5 * (self._a + self._a.T)
        self._afa = self._a @ self._fisher @ self._a

    def best(self, rows: Rows, tie_n: Hashes) -> tuple[int, float]:
        """Return which of the rows lowers the objective most, and by how much."""
        bound = self._bounds(rows)
        order = np.argsort(-bound, kind="stable")
        return self._searched(rows[order], bound[order], tie_n, 1.0)

    def least(self, rows: Rows, tie_n: Hashes) -> tuple[int, float]:
        """Return which of the rows raises the objective least when removed, and by how much."""
        bound = self._bounds(rows)
        order = np.argsort(bound, kind="stable")
        row, value = self._searched(rows[order], -bound[order], tie_n, -1.0)
        return row, -value

    def _searched(self, rows: Rows, bound: Array, tie_n: Hashes, sign: float) -> tuple[int, float]:
        """Return the row with the largest change; `bound`, falling, is no smaller than any."""
        best, winner, start, count = -np.inf, -1, 0, 64
        while start < len(rows) and bound[start] >= best - self._slack(best):
            part = rows[start : start + count]
            value = sign * self._changes_of(part, sign)
            for row, one in zip(part.tolist(), value.tolist(), strict=True):
                slack = self._slack(best)
                # What differs by rounding alone is a tie.
                if one > best + slack or (one >= best - slack and tie_n[row] < tie_n[winner]):
                    best, winner = max(one, best), row
            start, count = start + count, 2 * count
        return winner, best

    @staticmethod
    def _slack(value: float) -> float:
        return 1e-10 * abs(value) if np.isfinite(value) else 0.0

    def _invert(self) -> None:
        self._a = cho_solve(cho_factor(self._m), np.eye(len(self._m)))
        self._a = 0.5 * (self._a + self._a.T)
        self._afa = self._a @ self._fisher @ self._a

    def _factor(self, row: int) -> Array:
        """V of a row, ``(c r, c)``: columns ``sqrt(share p_k) (e_k - p) (x) z``."""
        p = self._p_n_c[row].astype(np.float64)
        columns = (np.eye(self._c) - p[:, None]) * np.sqrt(self._share * np.maximum(p, 0.0))
        return np.einsum("ck,r->crk", columns, self._z_n_r[row]).reshape(self._c * self._r, self._c)

    def _bounds(self, rows: Rows) -> Array:
        """Return tr(U) of rows."""
        bound = np.empty(len(rows))
        pairs = self._paired(self._afa)

        def work(block: slice) -> None:
            q = self._products(rows[block]) @ pairs
            _traces(self._p_n_c[rows[block]].astype(np.float64), q, self._share, bound[block])

        each_block(work, len(rows), max(1, BLOCK // len(self._pair_c[0])))
        return bound

    def _changes_of(self, rows: Rows, sign: float) -> Array:
        """Return ``tr(U (1 + sign T)^-1)`` of rows."""
        change = np.empty(len(rows))
        pairs_t, pairs_u = self._paired(self._a), self._paired(self._afa)

        def work(block: slice) -> None:
            products = self._products(rows[block])
            p = self._p_n_c[rows[block]].astype(np.float64)
            _exact(p, products @ pairs_t, products @ pairs_u, self._share, sign, change[block])

        each_block(work, len(rows), max(1, BLOCK // len(self._pair_c[0])))
        return change

    def _products(self, rows: Rows) -> Array:
        """Return ``z_a z_b`` for a <= b, those off the diagonal twice."""
        z = self._z_n_r[rows]
        a, b = self._pair_r
        return z[:, a] * z[:, b] * np.where(a == b, 1.0, 2.0)

    def _paired(self, matrix: Array) -> Array:
        """Return a symmetric matrix so that products of z times it give ``z^T B_kl z`` for classes k <= l."""
        blocks = matrix.reshape(self._c, self._r, self._c, self._r)
        # A block off the diagonal is not symmetric; what z^T B z sees of it is.
        (a, b), (k, m) = self._pair_r, self._pair_c
        return 0.5 * (blocks[k, :, m, :][:, a, b] + blocks[k, :, m, :][:, b, a]).T


@jit
def _traces(p_m_c, q_m_s, share, out_m):
    """Fill ``share * sum_kl (p_k [k = l] - p_k p_l) q_kl``."""
    m, c = p_m_c.shape
    for i in range(m):
        total, s = 0.0, 0
        for k in range(c):
            total += p_m_c[i, k] * q_m_s[i, s]
            for j in range(k, c):
                total -= (1.0 if j == k else 2.0) * p_m_c[i, k] * p_m_c[i, j] * q_m_s[i, s]
                s += 1
        out_m[i] = share * max(total, 0.0)


@jit
def _sandwich(p_c, q_s, share, out):
    """Fill ``D (1 - 1 p^T) Q (1 - p 1^T) D``, ``D = diag(sqrt(share p))``: V^T B V of one row."""
    c = len(p_c)
    s = 0
    for k in range(c):
        for j in range(k, c):
            out[k, j] = out[j, k] = q_s[s]
            s += 1
    mean = np.zeros(c)
    whole = 0.0
    for k in range(c):
        for j in range(c):
            mean[k] += out[k, j] * p_c[j]
        whole += mean[k] * p_c[k]
    for k in range(c):
        for j in range(c):
            scale = share * np.sqrt(max(p_c[k], 0.0) * max(p_c[j], 0.0))
            out[k, j] = scale * (out[k, j] - mean[k] - mean[j] + whole)


@jit
def _exact(p_m_c, t_m_s, u_m_s, share, sign, out_m):
    """Fill ``tr(U (1 + sign T)^-1)``, by a Cholesky factor of the inverted matrix."""
    m, c = p_m_c.shape
    t, u = np.empty((c, c)), np.empty((c, c))
    for i in range(m):
        _sandwich(p_m_c[i], t_m_s[i], share, t)
        _sandwich(p_m_c[i], u_m_s[i], share, u)
        # Factor 1 + sign T = L L^T into the lower half, then overwrite U by L^-1 U, and take tr(L^-1 U L^-T).
        for k in range(c):
            for j in range(k + 1):
                total = sign * t[k, j] + (1.0 if j == k else 0.0)
                for h in range(j):
                    total -= t[k, h] * t[j, h]
                t[k, j] = np.sqrt(max(total, 1e-300)) if j == k else total / t[j, j]
        for k in range(c):
            for j in range(c):
                for h in range(k):
                    u[k, j] -= t[k, h] * u[h, j]
                u[k, j] /= t[k, k]
        trace = 0.0
        for k in range(c):
            for h in range(k):
                for j in range(k, c):
                    u[j, k] -= t[k, h] * u[j, h]
            for j in range(k, c):
                u[j, k] /= t[k, k]
            trace += u[k, k]
        out_m[i] = trace
