"""Squared distances to a growing set of centres: exact sums of differences, most of them ruled out by a product."""

import numpy as np

from querist.arrays import Array, Hashes, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

BLOCK = 512
"""Rows that one thread takes at a time."""

CHUNK = 512
"""Centres multiplied at a time."""

DIRECT = 4
"""With no more centres than this, differences alone are quicker than a product that saves some of them."""


class Nearest:
    """For each row the squared distance to the nearest of the centres it has met, in float64 differences.

    A product in float32 shows which centres may be nearer than the nearest so far, and only those are measured. With
    rows x and c, shifted by a common vector and rounded, the product differs from ``<x, c>`` by at most ``g |x| |c|``,
    ``g = d u / (1 - d u)``, ``u = 2^-24`` (Higham, Accuracy and Stability of Numerical Algorithms, SIAM 2002), and the
    rounding moves ``|x - c|`` by at most ``u (|x| + |c|)``. Together the error of ``|x|^2 + |c|^2 - 2 <x, c>`` is below
    ``(d + 8) u (|x|^2 + |c|^2)``; twice that is allowed for.

    Attributes:
        x_N_d: points.
        near_N: what is known so far, written by the methods; rows below 0 are left alone.
        met_N: how many centres each row has met: the first so many.
        row_bytes: bytes of a row in the precision that distances are computed from.
    """

    def __init__(self, x_N_d: Array, near_N: Array, capacity: int) -> None:
        N, d = x_N_d.shape
        self.x_N_d, self.near_N, self.met_N = x_N_d, near_N, np.zeros(N, np.intp)
        self._known = self._rounded = 0
        self._x_t_d = np.empty((capacity, d), np.float64 if x_N_d.dtype == np.float64 else np.float32)
        self._c_t_d, self._c2_t = np.empty((capacity, d), np.float32), np.empty(capacity)
        self._shift_d, self._scale = np.zeros(d), 0.0
        self.row_bytes = d * self._x_t_d.itemsize

    def add(self, rows: Rows) -> None:
        """Make rows of the points centres."""
        first, self._known = self._known, self._known + len(rows)
        self._x_t_d[first : self._known] = self.x_N_d[rows]

    def approach_all(self) -> None:
        """Let every row meet all centres."""
        self._round(self.met_N)

        def work(block: slice) -> None:
            self._approach(dense(self.x_N_d[block]), self.near_N[block], self.met_N[block])

        each_block(work, len(self.near_N), BLOCK)

    def pick(self, pool: Rows, tie_m: Hashes, least: float, last_tie: int, rows: Rows, gap: Array, step: int) -> int:
        """Write the farthest rows of a pool into `rows` from `step` on, and return the next step.

        Stops when no row of the pool is at (`least`, `last_tie`) or before, in the order of falling squared distance
        and rising hash, or when `rows` is full. A pick is a centre from then on, and closed: its distance becomes -1.
        """
        x_m_d = np.empty((len(pool), self._x_t_d.shape[1]), self._x_t_d.dtype)
        near_m, met_m = self.near_N[pool], self.met_N[pool]
        # Rows that missed the same centres stand together, so that a product covers few pairs in vain.
        order = np.argsort(met_m, kind="stable")
        pool, tie_m, near_m, met_m = pool[order], tie_m[order], near_m[order], met_m[order]

        def work(block: slice) -> None:
            x_m_d[block] = self.x_N_d[pool[block]]
            self._approach(x_m_d[block], near_m[block], met_m[block])

        self._round(met_m)
        each_block(work, len(pool), BLOCK)
        after = _greedy(
            x_m_d, pool, near_m, tie_m, self._x_t_d, self._known, least, np.uint64(last_tie), rows, gap, step,
            self.near_N, self.met_N,
        )  # fmt: skip
        self._known += after - step
        return after

    def _round(self, met_m: Rows) -> None:
        """Make centres ready for products with rows that have met so many, if a product will be used."""
        if self._known - int(met_m.min(initial=self._known)) <= DIRECT:
            return
        if not self._scale:
            sample = dense(self.x_N_d[:: max(1, len(self.x_N_d) // 1024)]).astype(np.float64)
            # Any shift is right; one to the middle of the points keeps the error small.
            self._shift_d = sample.mean(axis=0)
            size = float(np.abs(sample - self._shift_d).max(initial=0.0))
            # A power of two: it changes no digit of a distance, and keeps squares within the range of float32.
            self._scale = 2.0 ** -np.frexp(size)[1] if 1e-100 < size < 1e100 else 1.0
        new = slice(self._rounded, self._known)
        _narrow(dense(self._x_t_d[new]), self._shift_d, self._scale, self._c_t_d[new], self._c2_t[new])
        self._rounded = self._known

    def _approach(self, x_m_d: Array, near_m: Array, met_m: Rows) -> None:
        """Let a block of rows meet the centres they missed."""
        x_m_d, x_t_d, t = dense(x_m_d), dense(self._x_t_d), self._known
        first = int(met_m.min())
        if t - first <= DIRECT:
            _meet(x_m_d, near_m, met_m, x_t_d, t)
            return
        c_m_d, c2_m = np.empty(x_m_d.shape, np.float32), np.empty(len(x_m_d))
        _narrow(x_m_d, self._shift_d, self._scale, c_m_d, c2_m)
        slack = 2.0 * (x_m_d.shape[1] + 8) * 2.0**-24
        for start in range(first, t, CHUNK):
            stop = min(start + CHUNK, t)
            with np.errstate(over="ignore", invalid="ignore"):
                product_m_k = c_m_d @ self._c_t_d[start:stop].T
            _sift(
                x_m_d, near_m, met_m, x_t_d, start, product_m_k, c2_m, self._c2_t[start:stop], slack, self._scale**-2.0
            )


def column_sums(x_N_d: Array) -> Array:
    """Return the sums of the columns, ``(d,)`` float64, added row by row."""
    total_d = np.zeros(x_N_d.shape[1])
    for start in range(0, len(x_N_d), 8 * BLOCK):
        _add_rows(dense(x_N_d[start : start + 8 * BLOCK]), total_d)
    return total_d


def gap_to(x_N_d: Array, point_d: Array) -> Array:
    """Return the squared distances ``(N,)`` of all rows to a point in float64."""
    gap_N = np.full(len(x_N_d), np.inf)
    zeros, point_1_d = np.zeros(len(x_N_d), np.intp), dense(np.asarray(point_d, np.float64)[None])

    def work(block: slice) -> None:
        _meet(dense(x_N_d[block]), gap_N[block], zeros[block], point_1_d, 1)

    each_block(work, len(x_N_d), 8 * BLOCK)
    return gap_N


@jit
def _gap(u, v):
    # The one place where distances that decide are computed: equal rows must have equal bits wherever they are met.
    total = 0.0
    for j in range(len(u)):
        difference = np.float64(u[j]) - np.float64(v[j])
        total += difference * difference
    return total


@jit
def _add_rows(x_m_d, total_d):
    for i in range(len(x_m_d)):
        u = x_m_d[i]
        for j in range(len(total_d)):
            total_d[j] += np.float64(u[j])


@jit
def _narrow(x_m_d, shift_d, scale, c_m_d, c2_m):
    """Fill `c_m_d` with shifted and scaled rows in float32, and `c2_m` with their squared norms."""
    for i in range(len(x_m_d)):
        u, v = x_m_d[i], c_m_d[i]
        total = 0.0
        for j in range(len(v)):
            v[j] = np.float32((np.float64(u[j]) - shift_d[j]) * scale)
            total += np.float64(v[j]) * np.float64(v[j])
        c2_m[i] = total


@jit
def _meet(x_m_d, near_m, met_m, x_t_d, t):
    """Lower `near_m` by the centres that rows missed, all of them measured."""
    for i in range(len(x_m_d)):
        if near_m[i] < 0.0:
            continue
        near = near_m[i]
        for c in range(met_m[i], t):
            near = min(near, _gap(x_m_d[i], x_t_d[c]))
        near_m[i], met_m[i] = near, t


@jit
def _sift(x_m_d, near_m, met_m, x_t_d, start, product_m_k, c2_m, c2_k, slack, unit):
    """Lower `near_m` by the centres from `start` on, measuring those that the product does not rule out."""
    k = len(c2_k)
    keep = 1.0 - slack
    least_k = np.empty(k)
    for i in range(len(x_m_d)):
        near = near_m[i]
        first = max(0, met_m[i] - start)
        if near < 0.0 or first >= k:
            continue
        product_k = product_m_k[i]
        best, least = first, np.inf
        for c in range(first, k):
            # No true distance is smaller; 1e-30 covers what vanished below the range of float32.
            least_k[c] = (keep * (c2_m[i] + c2_k[c]) - 2.0 * np.float64(product_k[c]) - 1e-30) * unit
            if least_k[c] < least:
                best, least = c, least_k[c]
        # Written so that a NaN or an infinity, from rows beyond the range of float32, rules nothing out.
        beyond = not c2_m[i] < 1e30
        if not least >= near or beyond:
            near = min(near, _gap(x_m_d[i], x_t_d[start + best]))
        for c in range(first, k):
            if c != best and (beyond or not least_k[c] >= near or not c2_k[c] < 1e30):
                near = min(near, _gap(x_m_d[i], x_t_d[start + c]))
        near_m[i], met_m[i] = near, start + k


@jit
def _greedy(x_m_d, place_m, near_m, tie_m, x_t_d, t, least, last_tie, rows, gap, step, near_N, met_N):
    """Pick the farthest rows of a pool one after another; a row that falls behind leaves the pool for good."""
    alive, fresh = len(place_m), t
    while step < len(rows):
        best = 0
        i = 0
        while i < alive:
            near = near_m[i]
            if t > fresh:
                near = min(near, _gap(x_m_d[i], x_t_d[t - 1]))
            if near < least or (near == least and tie_m[i] > last_tie):
                near_N[place_m[i]], met_N[place_m[i]] = near, t
                alive -= 1
                x_m_d[i] = x_m_d[alive]
                place_m[i], near_m[i], tie_m[i] = place_m[alive], near_m[alive], tie_m[alive]
                continue
            near_m[i] = near
            if near > near_m[best] or (near == near_m[best] and tie_m[i] < tie_m[best]):
                best = i
            i += 1
        if alive == 0:
            break
        rows[step], gap[step] = place_m[best], near_m[best]
        near_N[place_m[best]] = -1.0
        x_t_d[t] = x_m_d[best]
        step += 1
        t += 1
        alive -= 1
        x_m_d[best] = x_m_d[alive]
        place_m[best], near_m[best], tie_m[best] = place_m[alive], near_m[alive], tie_m[alive]
    return step
