"""k-means: greedy seeding, blocked Lloyd iterations, restarts; and the member of each cluster nearest to its centre."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.threads import single_threaded_blas
from querist.kernels.workers import each_block

BLOCK = 2**20
"""Entries of the block of rows x centres that is in memory at a time; nothing of size N x k is stored."""

WIDE = 128
"""From so many centres on, numpy's search for the largest of a row is quicker than a loop."""

SEEDED_ON = 10_000
"""Starts are sought among this many rows, or five per cluster if that is more."""


class Clusters(NamedTuple):
    """A clustering into `k` groups, some of which may be empty."""

    centres_k_d: Array
    """Means of the members, float64; an empty cluster keeps the last place it had."""
    label_N: Rows  # noqa: N815 - axis letters
    """The cluster of each row."""
    gap_N: Array  # noqa: N815
    """Squared distance of each row to its centre, float64."""

    @property
    def inertia(self) -> float:
        """The sum of squared distances to the centres."""
        return float(self.gap_N.sum())

    @property
    def size_k(self) -> npt.NDArray[np.intp]:
        """Members per cluster."""
        return np.bincount(self.label_N, minlength=len(self.centres_k_d))


@single_threaded_blas()
def kmeans(
    x_N_d: Array, k: int, generator: np.random.Generator, *, restarts: int = 1, iterations: int = 20
) -> Clusters:
    """Return the best of several k-means clusterings.

    Each start is a greedy k-means++ (2 + ln k candidates per centre; Arthur & Vassilvitskii, SODA 2007), followed by
    Lloyd's iterations until nothing changes. The rows' order is part of the input: pass them in order of their ids.

    Args:
        x_N_d: points.
        k: number of clusters, ``1 <= k <= N``. With fewer distinct points than that some clusters stay empty.
        generator: where the starts come from.
        restarts: independent starts, of which the one with the lowest inertia is kept.
        iterations: the most updates of the centres.
    """
    x_N_d = dense(x_N_d)
    best = _lloyd(x_N_d, _starts(x_N_d, k, generator), iterations)
    for _ in range(restarts - 1):
        best = max(best, _lloyd(x_N_d, _starts(x_N_d, k, generator), iterations), key=lambda run: run[0])
    _, centres_k_d, label_N = best
    gap_N = np.empty(len(x_N_d))
    _own_gap(x_N_d, centres_k_d, label_N, gap_N)
    return Clusters(centres_k_d, label_N, gap_N)


def medoids(clusters: Clusters, open_N: Bools, tie_N: Hashes) -> Rows:
    """Return for each cluster its open member nearest to the centre, ties by smallest `tie_N`; -1 if it has none."""
    rows = np.flatnonzero(open_N)
    label = clusters.label_N[rows]
    order = np.lexsort((tie_N[rows], clusters.gap_N[rows], label))
    found, first = np.unique(label[order], return_index=True)
    medoid_k = np.full(len(clusters.centres_k_d), -1, np.intp)
    medoid_k[found] = rows[order[first]]
    return medoid_k


def _starts(x_N_d: Array, k: int, generator: np.random.Generator) -> Array:
    """Return `k` starting centres, ``(k, d)`` float64."""
    N = len(x_N_d)
    m = max(SEEDED_ON, 5 * k)
    part = x_N_d[np.sort(generator.choice(N, m, replace=False))] if m < N else x_N_d
    rows = np.empty(k, np.intp)
    _seed(dense(part), generator.random((k, 2 + int(np.log(k)))), rows)
    return part[rows].astype(np.float64)


def _lloyd(x_N_d: Array, centres_k_d: Array, iterations: int) -> tuple[float, Array, Rows]:
    """Return the sum of ``<x, c> - |c|^2 / 2`` over rows (more is better), the centres and the labels."""
    N, k = len(x_N_d), len(centres_k_d)
    label_N, score_N = np.full(N, -1, np.intp), np.empty(N)
    fit = 0.0
    for iteration in range(iterations + 1):
        before_N = label_N.copy()
        _assign(x_N_d, centres_k_d, label_N, score_N)
        fit = float(score_N.sum())
        if iteration == iterations or np.array_equal(label_N, before_N):
            break
        total_k_d, count_k = np.zeros_like(centres_k_d), np.zeros(k)
        # By one thread and in order of rows, so that the last bits are always the same.
        _absorb(x_N_d, label_N, total_k_d, count_k)
        held = count_k > 0
        centres_k_d[held] = total_k_d[held] / count_k[held, None]
    return fit, centres_k_d, label_N


def _assign(x_N_d: Array, centres_k_d: Array, label_N: Rows, score_N: Array) -> None:
    """Fill the best centre of every row and its ``<x, c> - |c|^2 / 2``; blocks of rows are threads' own."""
    N, k = len(x_N_d), len(centres_k_d)
    weights_d_k = np.ascontiguousarray(centres_k_d.T, x_N_d.dtype)
    half_k = 0.5 * np.square(weights_d_k).sum(axis=0)

    def work(block: slice) -> None:
        score_m_k = x_N_d[block] @ weights_d_k
        if k < WIDE:
            _best(score_m_k, half_k, label_N[block], score_N[block])
            return
        score_m_k -= half_k
        label_N[block] = score_m_k.argmax(axis=1)
        score_N[block] = np.take_along_axis(score_m_k, label_N[block][:, None], axis=1)[:, 0]

    each_block(work, N, max(64, min(2048, BLOCK // k)))


@jit
def _seed(x_m_d, uniform_k_q, rows):
    """Fill `rows` by greedy k-means++: of q rows drawn in proportion to D^2, keep the one that lowers it most."""
    m, d = x_m_d.shape
    k, q = uniform_k_q.shape
    near_m = np.full(m, np.inf)
    cumulated_m = np.empty(m)
    tried_m, kept_m = np.empty(m), np.empty(m)
    for step in range(k):
        total = 0.0
        for i in range(m):
            total += 1.0 if step == 0 else near_m[i]
            cumulated_m[i] = total
        least, best = np.inf, 0
        for candidate in range(q if step > 0 else 1):
            row = min(np.searchsorted(cumulated_m, uniform_k_q[step, candidate] * total, side="right"), m - 1)
            v = x_m_d[row]
            potential = 0.0
            for i in range(m):
                u = x_m_d[i]
                # Differences in the points' own precision: quick, and exactly 0 between duplicates.
                gap = x_m_d.dtype.type(0)
                for j in range(d):
                    difference = u[j] - v[j]
                    gap += difference * difference
                tried_m[i] = min(near_m[i], np.float64(gap))
                potential += tried_m[i]
            if potential < least:
                least, best = potential, row
                kept_m, tried_m = tried_m, kept_m
        rows[step] = best
        near_m, kept_m = kept_m, near_m


@jit
def _best(score_m_k, half_k, label_m, best_m):
    """Fill the largest of ``score - half`` of every row and its place, the first of several."""
    for i in range(len(score_m_k)):
        score_k = score_m_k[i]
        best, most = 0, score_k[0] - half_k[0]
        for c in range(1, len(half_k)):
            score = score_k[c] - half_k[c]
            if score > most:
                best, most = c, score
        label_m[i], best_m[i] = best, most


@jit
def _absorb(x_N_d, label_N, total_k_d, count_k):
    """Add the rows to their clusters."""
    for i in range(len(x_N_d)):
        count_k[label_N[i]] += 1.0
        total_d, u = total_k_d[label_N[i]], x_N_d[i]
        for j in range(len(u)):
            total_d[j] += u[j]


@jit
def _own_gap(x_N_d, centres_k_d, label_N, gap_N):
    """Fill `gap_N` with the squared distance of every row to the centre of its own cluster."""
    for i in range(len(x_N_d)):
        u, v = x_N_d[i], centres_k_d[label_N[i]]
        total = 0.0
        for j in range(len(u)):
            difference = u[j] - v[j]
            total += difference * difference
        gap_N[i] = total
