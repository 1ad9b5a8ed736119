"""Set functions of rows as objectives of `querist.kernels.maximise`: each knows its picks and what a row would add."""

from typing import Literal, TypeAlias

import numpy as np

from querist.arrays import Array, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.likeness import Likeness

Concave: TypeAlias = Literal["sqrt", "log", "inverse", "linear"]
"""``sqrt(m)``, ``log(1 + m)``, ``m / (1 + m)`` and, for comparison, ``m`` itself."""

SQRT, LOG, INVERSE, LINEAR = range(4)
KINDS: dict[Concave, int] = {"sqrt": SQRT, "log": LOG, "inverse": INVERSE, "linear": LINEAR}

BLOCK = 1024
"""Rows looked at together."""

UNIT = 2.0**40
"""What a similarity of 1 counts in sums that must not depend on their order."""


class GraphCut:
    """``f(A) = sum_(j in A) worth_j - redundancy * sum_(i, j in A) s_ij``.

    ``gain(x) = worth_x - redundancy (2 sum_(a in A) s_ax + s_xx)``. Graph cut has the similarity to all rows of the
    pool as worth; it is then submodular, and monotone as long as the redundancy is at most 1/2.

    Args:
        likeness: of all rows.
        worth_N: what a row is worth on its own.
        redundancy: 0 or larger.
        capacity: the most picks.
    """

    def __init__(self, likeness: Likeness, worth_N: Array, redundancy: float, capacity: int) -> None:
        self._likeness, self._worth_N, self._redundancy = likeness, worth_N, redundancy
        self._shared_N, self._met_N = np.zeros(len(likeness)), np.zeros(len(likeness), np.intp)
        self._picks, self._known = np.empty(capacity, np.intp), 0

    def gains(self, rows: Rows) -> Array:
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            first = int(self._met_N[part].min(initial=self._known))
            like_m_t = self._likeness.between(part, self._picks[first : self._known])
            # Whole multiples of 2^-40 add up exactly, in any order: lazy and naive picks see the same gains.
            _accumulate(np.rint(UNIT * like_m_t) / UNIT, part, first, self._known, self._met_N, self._shared_N)
        return self._worth_N[rows] - self._redundancy * (2.0 * self._shared_N[rows] + 1.0)

    def add(self, row: int) -> None:
        self._picks[self._known] = row
        self._known += 1


class QueryCover:
    """``f(A) = sum_(q in Q) max_(j in A) s_qj + eta sum_(j in A) max_(q in Q) s_jq``: monotone and submodular.

    Args:
        likeness: of all rows.
        query: rows q.
        eta: how much being like the query counts, beside covering it.
    """

    def __init__(self, likeness: Likeness, query: Rows, eta: float) -> None:
        self._likeness, self._query, self._eta = likeness, query, eta
        self._best_q = np.zeros(len(query))

    def gains(self, rows: Rows) -> Array:
        gain = np.zeros(len(rows))
        for start in range(0, len(rows) if len(self._query) else 0, BLOCK):
            like_m_q = self._likeness.between(rows[start : start + BLOCK], self._query)
            covered_m = np.maximum(like_m_q - self._best_q, 0.0).sum(axis=1)
            gain[start : start + BLOCK] = covered_m + self._eta * like_m_q.max(axis=1)
        return gain

    def add(self, row: int) -> None:
        np.maximum(self._best_q, self._likeness.between(np.array([row]), self._query)[0], out=self._best_q)


class QueryMass:
    """``f(A) = eta sum_(j in A) psi(sum_(q in Q) s_jq) + sum_(q in Q) psi(sum_(j in A) s_qj)``, psi concave.

    Monotone and submodular; modular if psi is linear. Rows in opposite directions, whose similarity rounding may take
    below 0, where psi means nothing, count as 0.

    Args:
        likeness: of all rows.
        query: rows q.
        eta: weight of the first sum.
        concave: psi.
    """

    def __init__(self, likeness: Likeness, query: Rows, eta: float, concave: Concave) -> None:
        self._likeness, self._query, self._eta, self._kind = likeness, query, eta, KINDS[concave]
        self._mass_q = np.zeros(len(query))

    def gains(self, rows: Rows) -> Array:
        gain = np.zeros(len(rows))
        for start in range(0, len(rows) if len(self._query) else 0, BLOCK):
            like_m_q = self._to_query(rows[start : start + BLOCK])
            _query_mass(like_m_q, self._mass_q, self._eta, self._kind, gain[start : start + BLOCK])
        return gain

    def add(self, row: int) -> None:
        self._mass_q += self._to_query(np.array([row]))[0]

    def _to_query(self, rows: Rows) -> Array:
        return np.maximum(self._likeness.between(rows, self._query), 0.0)


class FeatureMass:
    """``f(A) = sum_u g(sum_(j in A) x_ju)`` over features u, g concave: monotone and submodular if no x is negative.

    A negative value counts as a positive one of a second feature, ``max(-x_u, 0)``.

    Args:
        x_N_d: rows of features.
        concave: g.
    """

    def __init__(self, x_N_d: Array, concave: Concave) -> None:
        self._x_N_d, self._kind = dense(x_N_d), KINDS[concave]
        self._above_d, self._below_d = np.zeros(x_N_d.shape[1]), np.zeros(x_N_d.shape[1])

    def gains(self, rows: Rows) -> Array:
        gain = np.empty(len(rows))
        _feature_mass(self._x_N_d, np.ascontiguousarray(rows), self._above_d, self._below_d, self._kind, gain)
        return gain

    def add(self, row: int) -> None:
        x_d = self._x_N_d[row].astype(np.float64)
        self._above_d += np.maximum(x_d, 0.0)
        self._below_d += np.maximum(-x_d, 0.0)


class DistanceSum:
    """``f(A) = sum_(i < j in A) |x_i - x_j|``: supermodular, its gains grow, so no lazy method may maximise it.

    Args:
        x_N_d: points.
    """

    def __init__(self, x_N_d: Array) -> None:
        self._x_N_d = dense(x_N_d)
        self._sum_N = np.zeros(len(x_N_d))

    def gains(self, rows: Rows) -> Array:
        return self._sum_N[rows]

    def add(self, row: int) -> None:
        _distances(self._x_N_d, row, self._sum_N)


@jit
def _accumulate(like_m_t, rows, first, known, met_N, shared_N):
    for i in range(len(rows)):
        row = rows[i]
        total = shared_N[row]
        for t in range(met_N[row], known):
            total += like_m_t[i, t - first]
        shared_N[row], met_N[row] = total, known


@jit
def _query_mass(like_m_q, mass_q, eta, kind, gain_m):
    for i in range(len(like_m_q)):
        own, rise = 0.0, 0.0
        for q in range(len(mass_q)):
            own += like_m_q[i, q]
            rise += _rise(mass_q[q], like_m_q[i, q], kind)
        gain_m[i] = eta * _rise(0.0, own, kind) + rise


@jit
def _feature_mass(x_N_d, rows, above_d, below_d, kind, gain_m):
    for i in range(len(rows)):
        x_d, total = x_N_d[rows[i]], 0.0
        for u in range(len(x_d)):
            x = np.float64(x_d[u])
            total += _rise(above_d[u], x, kind) if x > 0.0 else _rise(below_d[u], -x, kind)
        gain_m[i] = total


@jit
def _rise(mass, more, kind):
    """``g(mass + more) - g(mass)``, written without a difference: it falls with the mass in floating point too."""
    if more <= 0.0:
        return 0.0
    if kind == SQRT:
        return more / (np.sqrt(mass + more) + np.sqrt(mass))
    if kind == LOG:
        return np.log1p(more / (1.0 + mass))
    if kind == INVERSE:
        return more / ((1.0 + mass) * (1.0 + mass + more))
    return more


@jit
def _distances(x_N_d, row, sum_N):
    y = x_N_d[row]
    for i in range(len(sum_N)):
        u, total = x_N_d[i], 0.0
        for j in range(len(y)):
            difference = np.float64(u[j]) - np.float64(y[j])
            total += difference * difference
        sum_N[i] += np.sqrt(total)
