"""Greedy matching of a sum of last-layer gradients by a few of them, none of which is ever written out."""

import numpy as np

from querist.arrays import Array, Hashes, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.threads import single_threaded_blas
from querist.progress import tell

BLOCK = 2048
"""Rows multiplied at a time."""


def gradient_sum(residual_n_c: Array, embedding_n_d: Array) -> Array:
    """Return ``sum_i residual_i (x) embedding_i``, ``(c, d)`` float64."""
    total_c_d = np.zeros((residual_n_c.shape[1], embedding_n_d.shape[1]))
    with single_threaded_blas():
        for start in range(0, len(residual_n_c), BLOCK):
            block = slice(start, start + BLOCK)
            total_c_d += residual_n_c[block].astype(np.float64).T @ embedding_n_d[block].astype(np.float64)
    return total_c_d


class Products:
    """Inner products of many gradients ``g_i = a_i (x) z_i`` with one another and with a matrix ``(c, d)``.

    All sums that decide are in float64 and depend on no other row, so that equal rows have equal products.

    Args:
        residual_n_c: a.
        embedding_n_d: z.
        tie_n: among equal values the smallest wins.

    Attributes:
        size_n: squared norms ``|g_i|^2``.
    """

    def __init__(self, residual_n_c: Array, embedding_n_d: Array, tie_n: Hashes) -> None:
        self._a_n_c, self._z_n_d, self._tie_n = dense(residual_n_c), dense(embedding_n_d), tie_n
        self.size_n = np.empty(len(tie_n))
        _sizes(self._a_n_c, self._z_n_d, self.size_n)
        self._reach_n = 2.0 * (self._a_n_c.shape[1] + self._z_n_d.shape[1] + 8) * 2.0**-24 * np.sqrt(self.size_n)

    def with_matrix(self, g_c_d: Array, rows: Rows | None = None) -> Array:
        """Return ``<g_i, G>`` of all rows, ``(n,)``, or of some."""
        a_m_c, z_m_d = self._of(rows)
        out_m = np.empty(len(a_m_c))
        _with_matrix(a_m_c, z_m_d, dense(np.asarray(g_c_d, np.float64)), out_m)
        return out_m

    def with_row(self, row: int, rows: Rows | None = None) -> Array:
        """Return ``<g_i, g_row>`` of all rows, ``(n,)``, or of some: two short products per row."""
        a_m_c, z_m_d = self._of(rows)
        out_m = np.empty(len(a_m_c))
        _with_row(a_m_c, z_m_d, dense(self._a_n_c[row]), dense(self._z_n_d[row]), out_m)
        return out_m

    def apart(self, row: int) -> Array:
        """Return ``|g_i - g_row|^2`` of all rows, ``(n,)``: of differences only, so exactly 0 for a duplicate."""
        out_n = np.empty(len(self.size_n))
        _apart(self._a_n_c, self._z_n_d, dense(self._a_n_c[row]), dense(self._z_n_d[row]), out_n)
        return out_n

    def combined(self, rows: Rows, weight_t: Array) -> Array:
        """Return ``sum_s w_s g_s`` over some rows, ``(c, d)``."""
        a_t_c = self._a_n_c[rows].astype(np.float64) * weight_t[:, None]
        with single_threaded_blas():
            return a_t_c.T @ self._z_n_d[rows].astype(np.float64)

    def first(self, value_n: Array) -> int:
        """Return the row of largest value, ties by smallest hash."""
        rows = np.flatnonzero(value_n == value_n.max())
        return int(rows[self._tie_n[rows].argmin()])

    def largest(self, g_c_d: Array, extra_n: Array) -> tuple[int, float]:
        """Return the row of largest ``<g_i, G> + extra_i``, and that value; an extra of minus infinity closes a row.

        A product in float32 finds the rows that rounding does not rule out, and only those are computed in float64.
        """
        about_n = np.empty(len(self.size_n))
        narrow_d_c = g_c_d.T.astype(np.float32)
        with single_threaded_blas(), np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(about_n), BLOCK):
                block = slice(start, start + BLOCK)
                product_m_c = self._z_n_d[block].astype(np.float32, copy=False) @ narrow_d_c
                about_n[block] = np.einsum("mc,mc->m", product_m_c, self._a_n_c[block], dtype=np.float64)
            slack_n = self._reach_n * np.sqrt(np.square(g_c_d).sum()) + 1e-30
            about_n += extra_n
            least = np.fmax.reduce(about_n - slack_n)
            # Written so that a NaN, from numbers beyond the range of float32, rules nothing out.
            rows = np.flatnonzero(~(about_n + slack_n < least) & (extra_n > -np.inf))
        value_m = self.with_matrix(g_c_d, rows if len(rows) < len(extra_n) else None) + extra_n[rows]
        best = rows[value_m == value_m.max()]
        return int(best[self._tie_n[best].argmin()]), float(value_m.max())

    def _of(self, rows: Rows | None) -> tuple[Array, Array]:
        if rows is None:
            return self._a_n_c, self._z_n_d
        return dense(self._a_n_c[rows]), dense(self._z_n_d[rows])


@single_threaded_blas()
def match(products: Products, target_c_d: Array, b: int) -> tuple[Rows, Array]:
    """Return `b` rows whose gradients add up to about a target, chosen greedily, and what each brought.

    Each is the unused row that leaves the smallest ``|T - sum of picks|^2``; it lowers that by
    ``2 <r, g_j> - |g_j|^2`` with the residual r, which is less than 0 where every row overshoots. Products with the
    residual are kept up to date by those with the last pick, so that a pick takes O(n (c + d)).
    """
    toward_n = products.with_matrix(target_c_d)
    closed_n = np.zeros(len(toward_n))
    rows, gain = np.empty(b, np.intp), np.empty(b)
    for step in range(b):
        gain_n = 2.0 * toward_n - products.size_n + closed_n
        rows[step] = row = products.first(gain_n)
        gain[step], closed_n[row] = gain_n[row], -np.inf
        if step + 1 < b:
            toward_n -= products.with_row(row)
        tell("picking", step + 1, b)
    return rows, gain


@single_threaded_blas()
def match_weighted(products: Products, target_c_d: Array, b: int, ridge: float) -> tuple[Rows, Array, Array]:
    """Return rows whose gradients, with weights of 0 or more, add up to about a target: orthogonal matching pursuit.

    Each is the unused row of largest ``<r, g_j>`` with ``r = T - sum_s w_s g_s``; then all weights are fitted anew,
    ``min |T - sum_s w_s g_s|^2 + ridge |w|^2`` with ``w >= 0``. Ends early when no product is above 0. Killamsetty et
    al., ICML 2021.

    Args:
        products: of the candidates.
        target_c_d: what to match.
        b: the most rows.
        ridge: strength of the penalty of weights, 0 or larger.

    Returns:
        Rows in the order picked, by how much each lowered the penalised error, and the final weights.
    """
    b = min(b, len(products.size_n))
    rows, gain = np.empty(b, np.intp), np.empty(b)
    gram_t_t, toward_t, weight_t = np.zeros((b, b)), np.zeros(b), np.zeros(b)
    closed_n, residual_c_d = np.zeros(len(products.size_n)), np.asarray(target_c_d, np.float64)
    negligible = 1e-9 * np.sqrt(np.square(target_c_d).sum())
    error = before = float(np.square(target_c_d).sum())
    step = 0
    while step < b:
        row, value = products.largest(residual_c_d, closed_n)
        if value <= negligible * np.sqrt(products.size_n[row]):
            break
        rows[step], closed_n[row] = row, -np.inf
        t = step + 1
        toward_t[step] = products.with_matrix(target_c_d, rows[step:t])[0]
        gram_t_t[step, :t] = gram_t_t[:t, step] = products.with_row(row, rows[:t])
        weight_t[:t] = non_negative(gram_t_t[:t, :t], toward_t[:t], ridge, weight_t[:t])
        residual_c_d = target_c_d - products.combined(rows[:t], weight_t[:t])
        error = float(np.square(residual_c_d).sum() + ridge * np.square(weight_t[:t]).sum())
        gain[step], before, step = max(before - error, 0.0), error, t
        tell("picking", step, b)
    return rows[:step], gain[:step], weight_t[:step]


def non_negative(gram_t_t: Array, toward_t: Array, ridge: float, start_t: Array) -> Array:
    """Return the ``w >= 0`` of least ``w'Kw - 2 c'w + ridge |w|^2``, by active sets from where `start_t` is above 0.

    Lawson & Hanson, Solving Least Squares Problems, 1974. `gram_t_t` is K, `toward_t` is c.
    """
    t = len(toward_t)
    # So little that no weight notices, and enough to factorise where rows are duplicates and there is no ridge.
    k_t_t = gram_t_t + (ridge + 1e-12 * float(np.trace(gram_t_t)) / t) * np.eye(t)
    weight_t, free_t, tried_t = start_t.copy(), start_t > 0.0, np.zeros(t, np.bool_)
    tolerance = 1e-10 * max(float(np.abs(toward_t).max()), 1e-300)
    for turn in range(3 * t + 10):
        slope_t = toward_t - k_t_t @ weight_t
        if turn or not np.abs(slope_t[free_t]).max(initial=0.0) > tolerance:  # the free ones are at their optimum
            wanted = np.where(free_t | tried_t, -np.inf, slope_t)
            if wanted.max() <= tolerance:
                break
            free_t[wanted.argmax()] = True
            # One whose weight rounding drives back to 0 at once is not freed again, or this would go on for ever.
            tried_t[wanted.argmax()] = True
        while True:
            free = np.flatnonzero(free_t)
            best = np.zeros(t)
            best[free] = np.linalg.solve(k_t_t[np.ix_(free, free)], toward_t[free])
            below = free[best[free] <= 0.0]
            if not len(below):
                weight_t = best
                break
            share = weight_t[below] / (weight_t[below] - best[below])
            weight_t = np.maximum(weight_t + share.min() * (best - weight_t), 0.0)
            weight_t[below[share.argmin()]] = 0.0
            free_t &= weight_t > 0.0
            if not free_t.any():
                weight_t = np.zeros(t)
                break
    return weight_t


@jit
def _sizes(a_n_c, z_n_d, size_n):
    for i in range(len(a_n_c)):
        a, z = a_n_c[i], z_n_d[i]
        one = two = 0.0
        for j in range(len(a)):
            one += np.float64(a[j]) * np.float64(a[j])
        for j in range(len(z)):
            two += np.float64(z[j]) * np.float64(z[j])
        size_n[i] = one * two


@jit
def _with_row(a_n_c, z_n_d, a_c, z_d, out_n):
    for i in range(len(a_n_c)):
        a, z = a_n_c[i], z_n_d[i]
        one = two = 0.0
        for j in range(len(a_c)):
            one += np.float64(a[j]) * np.float64(a_c[j])
        if one != 0.0:
            for j in range(len(z_d)):
                two += np.float64(z[j]) * np.float64(z_d[j])
        out_n[i] = one * two


@jit
def _apart(a_n_c, z_n_d, a_c, z_d, out_n):
    # g - g_s = (a - a_s) (x) z + a_s (x) (z - z_s), and its squared norm is made of differences.
    a2 = 0.0
    for j in range(len(a_c)):
        a2 += np.float64(a_c[j]) * np.float64(a_c[j])
    for i in range(len(a_n_c)):
        a, z = a_n_c[i], z_n_d[i]
        da_da = da_a = dz_dz = dz_z = z2 = 0.0
        for j in range(len(a_c)):
            difference = np.float64(a[j]) - np.float64(a_c[j])
            da_da += difference * difference
            da_a += difference * np.float64(a_c[j])
        for j in range(len(z_d)):
            difference = np.float64(z[j]) - np.float64(z_d[j])
            dz_dz += difference * difference
            dz_z += difference * np.float64(z[j])
            z2 += np.float64(z[j]) * np.float64(z[j])
        out_n[i] = max(da_da * z2 + a2 * dz_dz + 2.0 * da_a * dz_z, 0.0)


@jit
def _with_matrix(a_m_c, z_m_d, g_c_d, out_m):
    for i in range(len(a_m_c)):
        a, z = a_m_c[i], z_m_d[i]
        total = 0.0
        for j in range(len(a)):
            if a[j] != 0.0:
                g = g_c_d[j]
                product = 0.0
                for k in range(len(z)):
                    product += np.float64(z[k]) * g[k]
                total += np.float64(a[j]) * product
        out_m[i] = total
