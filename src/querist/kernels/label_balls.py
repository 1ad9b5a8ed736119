"""Balls around labelled points, each with a radius of its own: how large they may be, and what is outside of all."""

from math import ceil, log2
from typing import Protocol

import numpy as np

from querist.arrays import Array, Bools, Hashes, Labels, Rows
from querist.kernels.coverage import Coverage, top_hat
from querist.kernels.jit import dense, jit
from querist.kernels.radius_graph import RadiusGraph
from querist.progress import tell


def pure_radii(
    x_N_d: Array, centres: Rows, label_N: Labels, purity: float, *, reach: float, resolution: float
) -> Array:
    """Return for each centre the radius at which its ball stops being pure, found by bisection, ``(l,)``.

    A ball is pure if at least a share `purity` of the rows in it, the centre included, has the centre's label. The
    interval from 0 to `reach` is halved until it is at most `resolution` long: a pure ball at the middle keeps the
    upper half, another the lower one. Returned is the middle of what is left. One pass over the pool per centre.

    Args:
        x_N_d: points.
        centres: ``(l,)`` rows of labelled points.
        label_N: labels of all rows: true ones of the centres, predicted ones elsewhere.
        purity: between 0 and 1.
        reach: the largest radius.
        resolution: how exactly a radius is found.
    """
    halvings = max(0, ceil(log2(reach / resolution)))
    bins = 2**halvings
    same, every = np.zeros((len(centres), bins), np.int64), np.zeros((len(centres), bins), np.int64)
    _count(dense(x_N_d), np.ascontiguousarray(centres, np.intp), label_N.astype(np.int64), reach / bins, same, every)
    within_same, within = same.cumsum(axis=1), every.cumsum(axis=1)
    low, each = np.zeros(len(centres), np.intp), np.arange(len(centres))
    for step in reversed(range(halvings)):
        middle = low + 2**step
        # The tolerance is for shares such as 3 of 5, which float64 puts a little below 0.6.
        pure = within_same[each, middle - 1] >= purity * within[each, middle - 1] - 1e-9
        low = np.where(pure, middle, low)
    return (low + 0.5) * reach / bins


def covered(x_N_d: Array, centres: Rows, radius_l: Array) -> Bools:
    """Return ``(N,)``: which rows are closer to one of the centres than its radius."""
    covered_N = np.zeros(len(x_N_d), np.bool_)
    _cover(dense(x_N_d), np.ascontiguousarray(centres, np.intp), radius_l.astype(np.float64) ** 2, covered_N)
    return covered_N


class Uncovered(Protocol):
    """How many uncovered rows the ball of each row holds."""

    @property
    def degree_N(self) -> Array:  # noqa: N802 - axis letters
        """``(N,)`` float64."""
        ...

    def add(self, row: int) -> None:
        """Cover the ball of a row."""
        ...


class OnGraph:
    """What is uncovered, on a graph of who is near to whom; every edge is followed at most twice.

    Args:
        graph: the neighbours of every row.
        covered_N: rows that are covered from the start.
    """

    def __init__(self, graph: RadiusGraph, covered_N: Bools) -> None:
        self._graph, self._covered_N = graph, covered_N.copy()
        self._degree_N = np.zeros(graph.size, np.int64)
        _degrees(*graph, covered_N, self._degree_N)

    @property
    def degree_N(self) -> Array:  # noqa: N802 - axis letters
        return self._degree_N.astype(np.float64)

    def add(self, row: int) -> None:
        _take(*self._graph, row, self._covered_N, self._degree_N)


class OnPairs:
    """What is uncovered, by looking at distances anew: slower, and without memory for neighbours.

    Args:
        x_N_d: points.
        delta: radius of the balls.
        counted_N: the uncovered rows, or a sample of them.
        picks: about how many will be added.
    """

    def __init__(self, x_N_d: Array, delta: float, counted_N: Bools, picks: int) -> None:
        weight_N = counted_N.astype(np.float64)
        self._coverage = Coverage(x_N_d, top_hat(delta), np.empty(0, np.intp), weight_N)
        self._left = picks

    @property
    def degree_N(self) -> Array:  # noqa: N802 - axis letters
        return self._coverage.gain_N * self._coverage.unit

    def add(self, row: int) -> None:
        self._left -= 1
        self._coverage.add(row, self._left)


def mixed_greedy(
    uncovered: Uncovered, unsure_N: Array, share: float, open_N: Bools, tie_N: Hashes, b: int
) -> tuple[Rows, Array]:
    """Return `b` open rows, each the largest ``share * unsure + (1 - share) * degree`` once picked, and these scores.

    Both terms are divided by their largest value among open rows before every pick, so scores are between 0 and 1.

    Args:
        uncovered: the degrees; picks cover their balls.
        unsure_N: 0 or larger.
        share: weight of the first term, from 0 to 1.
        open_N: rows that may be picked, at least `b`.
        tie_N: among equal scores the smallest wins.
        b: number of picks.
    """
    open_N = open_N.copy()
    rows, score = np.empty(b, np.intp), np.empty(b)
    for step in range(b):
        left = np.flatnonzero(open_N)
        value = share * _of_largest(unsure_N[left]) + (1.0 - share) * _of_largest(uncovered.degree_N[left])
        best = left[value == value.max()]
        rows[step], score[step] = best[tie_N[best].argmin()], value.max()
        open_N[rows[step]] = False
        if step + 1 < b:
            uncovered.add(int(rows[step]))
        tell("picking", step + 1, b)
    return rows, score


def _of_largest(value: Array) -> Array:
    most = value.max()
    return value / most if most > 0.0 else np.zeros(len(value))


@jit
def _count(x_N_d, centres, label_N, width, same, every):
    """Count rows by how many widths they are from each centre, those of its label and all."""
    bins = same.shape[1]
    far = (bins * width) ** 2
    for k in range(len(centres)):
        u, label = x_N_d[centres[k]], label_N[centres[k]]
        for i in range(len(x_N_d)):
            v = x_N_d[i]
            gap = 0.0
            for j in range(len(u)):
                difference = np.float64(u[j]) - np.float64(v[j])
                gap += difference * difference
            if gap < far:
                at = int(np.sqrt(gap) / width)
                if at < bins:
                    every[k, at] += 1
                    same[k, at] += label_N[i] == label


@jit
def _cover(x_N_d, centres, limit_l, covered_N):
    for i in range(len(x_N_d)):
        v = x_N_d[i]
        for k in range(len(centres)):
            u = x_N_d[centres[k]]
            gap = 0.0
            for j in range(len(u)):
                difference = np.float64(u[j]) - np.float64(v[j])
                gap += difference * difference
            if gap < limit_l[k]:
                covered_N[i] = True
                break


@jit
def _degrees(indptr, indices, covered_N, degree_N):
    for i in range(len(degree_N)):
        count = 0 if covered_N[i] else 1
        for e in range(indptr[i], indptr[i + 1]):
            count += 0 if covered_N[indices[e]] else 1
        degree_N[i] = count


@jit
def _take(indptr, indices, pick, covered_N, degree_N):
    for e in range(indptr[pick] - 1, indptr[pick + 1]):
        v = pick if e < indptr[pick] else indices[e]
        if not covered_N[v]:
            covered_N[v] = True
            degree_N[v] -= 1
            for back in range(indptr[v], indptr[v + 1]):
                degree_N[indices[back]] -= 1
