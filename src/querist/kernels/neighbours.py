"""The nearest neighbours of every row among the others: exact, each pair of blocks multiplied once."""

from threading import Lock

import numpy as np
import numpy.typing as npt

from querist.arrays import Array
from querist.errors import DataError, UsageError
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

TILE = 1024
"""Rows of a block; a block is multiplied with itself and all that follow."""

LARGEST = 1e38
"""Scaled, no square of a smaller number leaves the range of float32."""

SPARE = 32
"""Rows kept for each row beyond those asked for, before the worst of them are dropped."""


def nearest_neighbours(x_N_d: Array, k: int) -> tuple[npt.NDArray[np.int64], Array]:
    """Return the `k` nearest other rows of every row, nearest first, and their Euclidean distances.

    On unit rows the order is that of falling cosine similarity. Equally near rows go by position; duplicates of a row
    are its neighbours at distance 0, the row itself is not.

    Float32 products of the upper triangle say who may be among the nearest of either row of a pair: all whose product
    is not below the k-th best so far by more than rounding can explain, see `Nearest`. The best k and a few more are
    kept, and ranked at the end by sums of squared differences in float64, so the result is exact and the same for any
    number of threads. Time O(N^2 d); memory ``N (24 k + 256)`` bytes, 16 k of them the result, and a tile per thread.

    Args:
        x_N_d: points; other precisions than float32 and float64 are copied to float32.
        k: neighbours of a row, at least 1; there are at most ``N - 1``.

    Returns:
        Positions ``(N, min(k, N - 1))`` and distances, float64, of the same shape.

    Raises:
        UsageError: `k` below 1.
        DataError: points that are not finite, or huge.
    """
    if k < 1:
        raise UsageError(f"Expected k, the number of neighbours, to be at least 1, got {k}.")
    x_N_d = dense(x_N_d)
    N = len(x_N_d)
    k = min(k, max(N - 1, 0))
    indices_N_k, distance_N_k = np.empty((N, k), np.int64), np.empty((N, k))
    if k == 0:
        return indices_N_k, distance_N_k
    search = _Search(x_N_d, k)
    each_block(search.meet_later, N, TILE, what="comparing rows")
    each_block(lambda block: search.rank(block, indices_N_k[block], distance_N_k[block]), N, TILE)
    return indices_N_k, distance_N_k


class _Search:
    """Who may be among the nearest of each row, of those met so far.

    Pairs are compared by ``-|x_i - x_j|^2 / 2``, which is the same from either side.
    """

    def __init__(self, x_N_d: Array, k: int) -> None:
        N, d = x_N_d.shape
        self._x_N_d, self._k = x_N_d, k
        mean_d = x_N_d.mean(axis=0, dtype=np.float64)
        parts = (x_N_d[start : start + TILE] for start in range(0, N, TILE))
        with np.errstate(invalid="ignore"):
            size = float(np.max([np.abs(part - mean_d).max() for part in parts]))
        if not size < LARGEST:
            raise DataError(f"Expected finite points within {LARGEST:g} of their mean, got one at {size:g}.")
        # Any shift is right, and one to the middle keeps errors small. The scale keeps squares in the range of float32;
        # a power of two, it changes no digit.
        self._scale = 2.0 ** float(np.clip(-np.frexp(size)[1], -126, 126)) if size > 0.0 else 1.0
        self._shift_d = (mean_d * self._scale).astype(x_N_d.dtype)
        self._half_N = np.empty(N, np.float32)
        for start in range(0, N, TILE):
            c_m_d = self._centred(slice(start, start + TILE))
            self._half_N[start : start + TILE] = 0.5 * np.einsum("md,md->m", c_m_d, c_m_d, dtype=np.float64)
        rounding = 2.0 * (d + 8) * 2.0**-24
        self._slack_N = rounding * (self._half_N.astype(np.float64) + float(self._half_N.max())) + 1e-30
        room = k + SPARE
        self._near_N_w, self._place_N_w = np.empty((N, room), np.float32), np.empty((N, room), np.int32)
        self._count_N, self._floor_N = np.zeros(N, np.int32), np.full(N, -np.inf, np.float32)
        self._last_N = np.full(N, N, np.int32)
        self._locks = [Lock() for _ in range(0, N, TILE)]

    def meet_later(self, block: slice) -> None:
        """Let the rows of a block meet one another and all rows after the block."""
        N = len(self._x_N_d)
        c_p_d = self._centred(block)
        score_p_q = np.zeros((len(c_p_d), TILE), np.float32)
        for start in range(block.start, N, TILE):
            later = slice(start, min(start + TILE, N))
            c_q_d = c_p_d if start == block.start else self._centred(later)
            np.matmul(c_p_d, c_q_d.T, out=score_p_q[:, : len(c_q_d)])
            # The rows of both blocks change. Always the earlier lock first, so that no two threads wait for each other.
            with self._locks[block.start // TILE]:
                if start == block.start:
                    self._collect(score_p_q, block, later)
                else:
                    with self._locks[start // TILE]:
                        self._collect(score_p_q, block, later)

    def rank(self, block: slice, indices_m_k: npt.NDArray[np.int64], distance_m_k: Array) -> None:
        """Write the nearest rows of a block."""
        _rank(
            self._x_N_d, self._k, block.start, self._slack_N, self._near_N_w, self._place_N_w, self._count_N,
            indices_m_k, distance_m_k,
        )  # fmt: skip

    def _centred(self, block: slice) -> npt.NDArray[np.float32]:
        return (self._x_N_d[block] * self._scale - self._shift_d).astype(np.float32, copy=False)

    def _collect(self, score_p_q: Array, block: slice, later: slice) -> None:
        _collect(
            score_p_q, block.start, later.start, self._x_N_d, self._k, self._scale, self._half_N, self._slack_N,
            self._near_N_w, self._place_N_w, self._count_N, self._floor_N, self._last_N,
        )  # fmt: skip


@jit
def _collect(
    score_p_q, start, later, x_N_d, k, scale, half_N, slack_N, near_N_w, place_N_w, count_N, floor_N, last_N
):  # fmt: skip
    """Keep for the rows of two blocks who may be among their nearest, by the products of all pairs.

    `score_p_q` is as wide as a whole block; what is beyond the rows is never looked at.
    """
    N = len(half_N)
    width, room = score_p_q.shape[1], near_N_w.shape[1]
    half_q, floor_q = np.zeros(width, np.float32), np.full(width, np.inf, np.float32)
    held = min(width, N - later)
    half_q[:held], floor_q[:held] = half_N[later : later + held], floor_N[later : later + held]
    flag_q = np.zeros(width, np.uint8)
    word_w = flag_q.view(np.uint64)
    for p in range(len(score_p_q)):
        i, score_q = start + p, score_p_q[p]
        known = p if later == start else -1
        _flag(score_q, half_N[i], half_q, floor_N[i], floor_q, flag_q)
        for w in range((known + 1) // 8, (held + 7) // 8):
            if word_w[w] == 0:
                continue
            for c in range(max(8 * w, known + 1), min(8 * w + 8, held)):
                if flag_q[c] == 0:
                    continue
                j, near = later + c, score_q[c] - half_N[i] - half_q[c]
                if near >= floor_N[i] and j <= last_N[i]:
                    at = count_N[i]
                    near_N_w[i, at], place_N_w[i, at], count_N[i] = near, j, at + 1
                    if at + 1 == room:
                        _shrink(i, x_N_d, k, scale, slack_N, near_N_w, place_N_w, count_N, floor_N, last_N)
                if near >= floor_q[c] and i <= last_N[j]:
                    at = count_N[j]
                    near_N_w[j, at], place_N_w[j, at], count_N[j] = near, i, at + 1
                    if at + 1 == room:
                        _shrink(j, x_N_d, k, scale, slack_N, near_N_w, place_N_w, count_N, floor_N, last_N)
                        floor_q[c] = floor_N[j]


@jit
def _flag(score_q, half, half_q, floor, floor_q, flag_q):
    """Flag the pairs that may matter to one of their rows."""
    for c in range(len(flag_q)):
        flag_q[c] = score_q[c] - half - half_q[c] >= min(floor, floor_q[c])


@jit
def _shrink(i, x_N_d, k, scale, slack_N, near_N_w, place_N_w, count_N, floor_N, last_N):
    """Make room in a full list: drop from it who cannot be among the nearest of row i."""
    near_w, place_w, count = near_N_w[i], place_N_w[i], 0
    floor = np.float32(_floor(near_w, k) - 2.0 * slack_N[i])
    for e in range(len(near_w)):
        if near_w[e] >= floor:
            near_w[count], place_w[count] = near_w[e], place_w[e]
            count += 1
    if count > (len(near_w) + k) // 2:
        # Too many are alike to float32, duplicates for instance: only the k that are nearest in truth remain.
        gap_w = np.empty(count)
        for e in range(count):
            gap_w[e] = _gap(x_N_d[i], x_N_d[place_w[e]])
        _sort(gap_w, place_w, near_w, count, k)
        count = k
        floor = np.float32(-0.5 * gap_w[k - 1] * scale * scale - slack_N[i])
        if gap_w[k - 1] == 0.0:
            # Nobody is nearer than that, so only those who come earlier can take a place.
            last_N[i] = place_w[k - 1]
    floor_N[i], count_N[i] = max(floor_N[i], floor), count


@jit
def _rank(x_N_d, k, start, slack_N, near_N_w, place_N_w, count_N, indices_m_k, distance_m_k):
    """Write the nearest of the rows from `start` on, of those who may be."""
    for p in range(len(indices_m_k)):
        i = start + p
        near_w, place_w, count = near_N_w[i], place_N_w[i], 0
        floor = _floor(near_w[: count_N[i]], k) - 2.0 * slack_N[i]
        gap_w = np.empty(count_N[i])
        for e in range(count_N[i]):
            if near_w[e] >= floor:
                near_w[count], place_w[count] = near_w[e], place_w[e]
                gap_w[count] = _gap(x_N_d[i], x_N_d[place_w[e]])
                count += 1
        _sort(gap_w, place_w, near_w, count, k)
        for e in range(k):
            indices_m_k[p, e], distance_m_k[p, e] = place_w[e], np.sqrt(gap_w[e])


@jit
def _gap(u, v):
    total = 0.0
    for j in range(len(u)):
        difference = np.float64(u[j]) - np.float64(v[j])
        total += difference * difference
    return total


@jit
def _floor(near_w, k):
    """Return a number that the k-th largest of some numbers is not below, and hardly above."""
    low, high = near_w[0], near_w[0]
    for e in range(len(near_w)):
        low, high = min(low, near_w[e]), max(high, near_w[e])
    # Counting vectorises, which no partition of so short a list can make up for.
    for _ in range(24):
        middle = np.float32(0.5) * (low + high)
        count = 0
        for e in range(len(near_w)):
            count += near_w[e] >= middle
        if count >= k:
            low = middle
        else:
            high = middle
        if count == k:
            break
    return np.float64(low)


@jit
def _sort(gap_w, place_w, near_w, count, k):
    """Bring the first k by rising gap, then position, to the front of three lists that belong together."""
    order = np.argsort(gap_w[:count])
    gap, place, near = gap_w[order], place_w[:count][order], near_w[:count][order]
    start = 0
    while start < min(k, count):
        stop = start + 1
        while stop < count and gap[stop] == gap[start]:
            stop += 1
        if stop > start + 1:
            by_place = start + np.argsort(place[start:stop])
            place[start:stop], near[start:stop] = place[by_place], near[by_place]
        start = stop
    gap_w[:count], place_w[:count], near_w[:count] = gap, place, near
