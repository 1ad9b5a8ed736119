"""Log-determinants of similarities, picked by an incremental Cholesky factorisation, on top of rows that are given."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Rows
from querist.kernels.inner import scores
from querist.kernels.jit import jit
from querist.kernels.likeness import Likeness
from querist.kernels.threads import single_threaded_blas

BLOCK = 1024
"""Rows that meet the given ones, or a new pick, together."""

FINE = 0.01
"""With a ridge below this, coefficients are kept in float64: what they leave over is as small as the ridge."""


class LogDet:
    """``f(A) = logdet(K_A|G)``, the determinant of what the given rows G leave over of ``K = S + ridge * I``.

    Identity: ``f(A) = logdet K_(A u G) - logdet K_G``, and ``gain(x) = log d_x^2`` where ``d_x^2`` is the pivot of x in
    the Cholesky factorisation of ``G, A, x``: at least the ridge, so a duplicate is never infinitely bad. Submodular.

    Similarities between a row and one of G count `scale` times as much, and those between two groups of G as much as
    both scales multiplied, which keeps K positive definite for scales from 0 to 1 (Schur's product theorem).

    A row that is asked for while something is picked keeps a coefficient for every row of G and every pick, in
    float32 unless the ridge is below `FINE`: few rows do under the lazy maximiser, all rows under the naive one.

    Args:
        likeness: of all rows.
        ridge: above 0.
        capacity: the most picks.
        given: groups of rows with their scales.
    """

    def __init__(
        self, likeness: Likeness, ridge: float, capacity: int, given: Sequence[tuple[Rows, float]] = ()
    ) -> None:
        N = len(likeness)
        self._likeness, self._ridge, self._known = likeness, ridge, 0
        none = np.empty(0, np.intp)
        self._given = np.concatenate([none, *(rows for rows, _ in given)]).astype(np.intp)
        self._scale_g = np.concatenate([np.empty(0), *(np.full(len(rows), scale) for rows, scale in given)])
        group_g = np.concatenate([none, *(np.full(len(rows), i) for i, (rows, _) in enumerate(given))])
        self._white_g_g = self._whitening(group_g)
        width, kind = len(self._given) + capacity, np.float32 if ridge >= FINE else np.float64
        self._slot_N, self._used = np.full(N, -1), 0
        self._store: npt.NDArray[np.floating] = np.empty((0, width), kind)
        self._left, self._met = np.empty(0), np.empty(0, np.intp)
        self._picks, self._pivot_t = np.empty(capacity, np.intp), np.empty(capacity)
        self._pick_t = np.empty((capacity, width), kind)

    def gains(self, rows: Rows) -> Array:
        left = np.empty(len(rows))
        if self._known:
            self._make_room(int(np.count_nonzero(self._slot_N[rows] < 0)))
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            if self._known:
                self._meet(part)
                left[start : start + len(part)] = self._left[self._slot_N[part]]
            else:
                left[start : start + len(part)] = self._given_leave(part)[1]
        return np.log(left)

    def add(self, row: int) -> None:
        one, t = np.array([row]), self._known
        self._meet(one)
        slot = self._slot_N[row]
        self._picks[t], self._pivot_t[t] = row, np.sqrt(self._left[slot])
        self._pick_t[t] = self._store[slot]
        self._known += 1

    def _whitening(self, group_g: Rows) -> Array:
        """Return the inverse of the Cholesky factor of ``K_G``."""
        if not len(self._given):
            return np.empty((0, 0))
        apart = group_g[:, None] != group_g[None]
        scale_g_g = np.where(apart, self._scale_g[:, None] * self._scale_g[None], 1.0)
        with single_threaded_blas():
            kernel = self._likeness.between(self._given, self._given) * scale_g_g
            return np.linalg.inv(np.linalg.cholesky(kernel + self._ridge * np.eye(len(kernel))))

    def _given_leave(self, rows: Rows) -> tuple[Array, Array]:
        """Return the coefficients of rows against the given ones, ``(m, g)``, and what is left of each row."""
        like_m_g = self._likeness.between(rows, self._given) * self._scale_g
        coefficient_m_g = scores(like_m_g, self._white_g_g)
        # Rows have length one, so each is exactly as like itself as can be.
        left = 1.0 + self._ridge - np.einsum("mg,mg->m", coefficient_m_g, coefficient_m_g)
        return coefficient_m_g, np.maximum(left, self._ridge)

    def _meet(self, rows: Rows) -> None:
        """Let rows meet every pick."""
        new = rows[self._slot_N[rows] < 0]
        if len(new):
            self._enter(new)
        slots = self._slot_N[rows]
        first = int(self._met[slots].min(initial=self._known))
        like_m_t = self._likeness.between(rows, self._picks[first : self._known])
        _eliminate(
            like_m_t, slots, first, self._known, len(self._given), self._pick_t, self._pivot_t, self._ridge,
            self._store, self._met, self._left,
        )  # fmt: skip

    def _enter(self, rows: Rows) -> None:
        """Give rows a place for their coefficients."""
        self._make_room(len(rows))
        slots = np.arange(self._used, self._used + len(rows))
        self._slot_N[rows], self._used = slots, self._used + len(rows)
        coefficient_m_g, self._left[slots] = self._given_leave(rows)
        self._store[slots, : len(self._given)] = coefficient_m_g

    def _make_room(self, count: int) -> None:
        end, held = self._used + count, len(self._store)
        if end > held:
            # Doubled while rows come in one by one, exactly as much as is needed once it is for most of them.
            size = min(max(end, 2 * held), max(end, len(self._slot_N)))
            store = np.empty((size, self._store.shape[1]), self._store.dtype)
            store[:held] = self._store
            self._store = store
            self._left = np.append(self._left, np.empty(size - held))
            self._met = np.append(self._met, np.zeros(size - held, np.intp))


class Difference:
    """The difference of two set functions; submodular only by luck.

    Args:
        first: what counts for a row.
        second: what counts against it.
    """

    def __init__(self, first: LogDet, second: LogDet) -> None:
        self._first, self._second = first, second

    def gains(self, rows: Rows) -> Array:
        return self._first.gains(rows) - self._second.gains(rows)

    def add(self, row: int) -> None:
        self._first.add(row)
        self._second.add(row)


@jit
def _eliminate(like_m_t, slots, first, known, given, pick_t, pivot_t, ridge, store, met, left):
    """Bring the coefficients of rows up to date with picks ``first..known``."""
    for i in range(len(slots)):
        slot = slots[i]
        own = store[slot]
        for t in range(met[slot], known):
            other, total = pick_t[t], 0.0
            for j in range(given + t):
                total += np.float64(own[j]) * np.float64(other[j])
            e = (like_m_t[i, t - first] - total) / pivot_t[t]
            own[given + t] = e
            left[slot] = max(left[slot] - e * e, ridge)
        met[slot] = known
