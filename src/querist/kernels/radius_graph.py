"""Balls of one radius: which rows lie in which, how large they may be, and the rows whose balls cover the most."""

from threading import Lock
from typing import NamedTuple, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Bools, Hashes, Labels, Rows
from querist.kernels import pairs
from querist.kernels.coverage import COMPARING, stretch
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

CHUNK = 2**19
"""Pairs collected at a time."""

Ends: TypeAlias = npt.NDArray[np.int32]


class RadiusGraph(NamedTuple):
    """Who is closer to whom than a radius, in compressed rows; a row's own number is not among its neighbours."""

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1


@overload
def radius_graph(x_N_d: Array, delta: float) -> RadiusGraph: ...
@overload
def radius_graph(x_N_d: Array, delta: float, *, most: int) -> RadiusGraph | None: ...
def radius_graph(x_N_d: Array, delta: float, *, most: int | None = None) -> RadiusGraph | None:
    """Return the graph of all pairs with ``|x_i - x_j| < delta``; None if there are more than `most` such pairs.

    Blocks of the upper triangle in float64, left early where no distance can stay below `delta`. Time O(N^2 d), memory
    16 bytes per pair.
    """
    x_N_d = dense(x_N_d)
    N = len(x_N_d)
    ends: dict[int, list[tuple[Ends, Ends]]] = {}
    degree_N, found, lock = np.zeros(N, np.int64), 0, Lock()

    def search(block: slice) -> None:
        nonlocal found
        one, other = np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32)
        start, at = block.start, 0
        own: list[tuple[Ends, Ends]] = []
        while start < block.stop and (most is None or found <= most):
            count, start, at = pairs.close_pairs(x_N_d, delta**2, start, block.stop, at, one, other)
            own.append((one[:count].copy(), other[:count].copy()))
            with lock:
                found += count
                _count_ends(one[:count], other[:count], degree_N)
        ends[block.start] = own

    each_block(search, N, stretch(N), what=COMPARING)
    if most is not None and found > most:
        return None
    indptr = np.append(0, np.cumsum(degree_N))
    indices, place_N = np.empty(2 * found, np.int32), indptr[:-1].copy()
    for start in sorted(ends):
        for one, other in ends.pop(start):
            _place_ends(one, other, place_N, indices)
    return RadiusGraph(indptr, indices)


def cover_greedily(
    graph: RadiusGraph, centres: Rows, open_N: Bools, tie_N: Hashes, b: int
) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Return up to `b` open rows, each with the most rows in its ball, itself included, that no ball before it held.

    The balls of `centres` count as covered from the start. Every edge is followed at most twice, whatever `b`.

    Args:
        graph: the neighbours of every row.
        centres: rows whose balls are covered.
        open_N: rows that may be picked.
        tie_N: among equal numbers the smallest wins.
        b: number of picks.

    Returns:
        Rows in the order picked, fewer than `b` when everything open is covered; how many rows each newly covered.
    """
    rows, fresh = np.empty(b, np.intp), np.empty(b, np.int64)
    count = _cover(*graph, np.ascontiguousarray(centres, np.intp), open_N.copy(), tie_N, rows, fresh)
    return rows[:count], fresh[:count]


def left_to_cover(graph: RadiusGraph, picks: Rows, b: int) -> int:
    """Return how many rows outside the balls of `picks` the `b` fullest balls hold, what two hold counted twice."""
    count_N = np.zeros(graph.size, np.int64)
    _count_uncovered(*graph, np.ascontiguousarray(picks, np.intp), count_N)
    return int(np.sort(count_N)[len(count_N) - min(b, len(count_N)) :].sum())


def pure_radius(x_N_d: Array, label_N: Labels, purity: float, rows: Rows) -> float:
    """Return the largest radius whose open balls around at least a share `purity` of `rows` hold one label only.

    The ball of a row is pure exactly up to its distance to the nearest row of another label, so this is an order
    statistic of these distances. It is infinite when there is one label only.

    Args:
        x_N_d: points.
        label_N: their (pseudo-)labels.
        purity: between 0 and 1.
        rows: ``(m,)`` whose balls are looked at; at least one.
    """
    gap = np.empty(len(rows))
    pairs.nearest_others(dense(x_N_d), np.ascontiguousarray(rows, np.intp), label_N.astype(np.int64), gap)
    # The tolerance is for shares such as 0.95 of 60, which float64 puts a little above 57.
    pure = min(int(np.ceil(purity * len(rows) - 1e-9)), len(rows))
    return float(np.sqrt(np.sort(gap)[len(rows) - max(pure, 1)]))


def least_distance(x_l_d: Array) -> float | None:
    """Return the smallest distance above 0 between two points; None if all are equal."""
    gap = _nearest(np.unique(x_l_d, axis=0))
    return None if gap is None else float(gap.min())


def typical_distance(x_l_d: Array, *, quantile: float = 0.1, alike: float = 0.1) -> float | None:
    """Return a low quantile of the distances of points to the nearest other, near-duplicates left out.

    Of points closer than `alike` times the median of these distances only the first is kept, so that a pair of
    near-duplicates, which alone would decide the smallest distance, does not count. None if fewer than two are left.
    """
    x_l_d = x_l_d[np.sort(np.unique(x_l_d, axis=0, return_index=True)[1])]
    gap = _nearest(x_l_d)
    if gap is None:
        return None
    graph = radius_graph(x_l_d, alike * float(np.median(gap)))
    kept = np.ones(len(x_l_d), np.bool_)
    for row in range(len(x_l_d)):
        if kept[row]:
            near = graph.indices[graph.indptr[row] : graph.indptr[row + 1]]
            kept[near[near > row]] = False
    gap = _nearest(x_l_d[kept])
    return None if gap is None else float(np.quantile(gap, quantile, method="lower"))


def _nearest(x_l_d: Array) -> Array | None:
    """Return the distance of each point to the nearest other; None if there is no other."""
    if len(x_l_d) < 2:
        return None
    every, gap = np.arange(len(x_l_d)), np.empty(len(x_l_d))
    pairs.nearest_others(dense(x_l_d), every, every, gap)
    return np.sqrt(gap)


@jit
def _count_ends(one, other, degree_N):
    for e in range(len(one)):
        degree_N[one[e]] += 1
        degree_N[other[e]] += 1


@jit
def _place_ends(one, other, place_N, indices):
    for e in range(len(one)):
        i, j = one[e], other[e]
        indices[place_N[i]], indices[place_N[j]] = j, i
        place_N[i] += 1
        place_N[j] += 1


@jit
def _cover(indptr, indices, centres, open_N, tie_N, rows, fresh):
    N = len(open_N)
    covered_N, degree_N = np.zeros(N, np.bool_), np.empty(N, np.int64)
    for i in range(N):
        degree_N[i] = indptr[i + 1] - indptr[i] + 1
    for step in range(-len(centres), len(rows)):
        if step < 0:
            pick = centres[len(centres) + step]
        else:
            pick = -1
            for i in range(N):
                if open_N[i] and (
                    pick < 0
                    or degree_N[i] > degree_N[pick]
                    or (degree_N[i] == degree_N[pick] and tie_N[i] < tie_N[pick])
                ):
                    pick = i
            if pick < 0 or degree_N[pick] == 0:
                return step
            rows[step], fresh[step] = pick, degree_N[pick]
            open_N[pick] = False
        for e in range(indptr[pick] - 1, indptr[pick + 1]):
            v = pick if e < indptr[pick] else indices[e]
            if not covered_N[v]:
                covered_N[v] = True
                degree_N[v] -= 1
                for back in range(indptr[v], indptr[v + 1]):
                    degree_N[indices[back]] -= 1
    return len(rows)


@jit
def _count_uncovered(indptr, indices, picks, count_N):
    covered_N = np.zeros(len(count_N), np.bool_)
    for pick in picks:
        covered_N[pick] = True
        for e in range(indptr[pick], indptr[pick + 1]):
            covered_N[indices[e]] = True
    for i in range(len(count_N)):
        count = 0 if covered_N[i] else 1
        for e in range(indptr[i], indptr[i + 1]):
            count += 0 if covered_N[indices[e]] else 1
        count_N[i] = count
