"""Greedy coverage: rows that raise ``sum_n weight_n * max_(s in S) k(n, s)`` the most, one after another."""

from math import ceil, log, log2
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels import pairs
from querist.kernels.jit import dense
from querist.kernels.workers import each_block
from querist.progress import tell

LISTED = 2**24
"""Entries after which no more lists are kept of what would still cover a row better; 12 bytes each."""

STRETCH = 2**25
"""Pairs that one thread looks at in one go."""

SHARE = 4 * pairs.LANES
"""Rows that one thread brings up to date in one go."""

AFRESH = 0.3
"""Share of risen rows from which all gains are summed afresh: that looks at every pair once, and no more than once."""

COMPARING = "comparing rows"
"""What a pass over all pairs of rows is called when it tells its progress."""


def stretch(N: int) -> int:
    """Return how many rows one thread takes when each of them meets N others."""
    return max(1, STRETCH // (max(N, 1) * pairs.LANES)) * pairs.LANES


class Similarity(NamedTuple):
    """A kernel ``k(x, y)`` of the distance of two points, from 0 to 1 for equal ones; made by the functions below."""

    kind: int
    scale: float
    far: float
    """Squared distance from which the similarity counts as 0."""


def cosine() -> Similarity:
    """Return ``1 - |x - y|^2 / 4``, which is ``(1 + cos) / 2`` for points of unit length."""
    return Similarity(pairs.COSINE, 0.25, 4.0)


def gaussian(sigma: float) -> Similarity:
    """Return ``exp(-|x - y|^2 / sigma^2)``; below 2^-42 it counts as 0."""
    variance = max(sigma, 1e-150) ** 2
    return Similarity(pairs.GAUSSIAN, 1 / (log(2) * variance), 42 * log(2) * variance)


def top_hat(delta: float) -> Similarity:
    """Return 1 where ``|x - y| < delta`` and 0 elsewhere."""
    return Similarity(pairs.TOP_HAT, delta**2, delta**2)


def closeness(reach: float) -> Similarity:
    """Return ``1 - |x - y| / reach``, 0 for points farther apart."""
    return Similarity(pairs.CLOSENESS, 1 / reach, reach**2)


def greedy_cover(
    x_N_d: Array,
    similarity: Similarity,
    centres: Rows,
    open_N: Bools,
    tie_N: Hashes,
    b: int,
    weight_N: Array | None = None,
) -> tuple[Rows, Array]:
    """Return up to `b` rows, each the one that adds most to the coverage by all before it, and what each added.

    Identity: ``gain(x) = sum_n weight_n * max(0, k(n, x) - max_(s in centres u S) k(n, s))``, an empty maximum being 0.
    The greedy set has at least 1 - 1/e of what the best set of its size adds (Nemhauser, Wolsey & Fisher, Mathematical
    Programming 1978). Exact: similarities are rounded to 2^-39 of the largest weight, and all sums of them are exact,
    so picks depend on nothing but the arguments. Time O(N^2 d) once, then in proportion to the rows each pick covers
    better; memory O(N).

    Args:
        x_N_d: points.
        similarity: what covers, and how well.
        centres: rows that cover already.
        open_N: rows that may be picked.
        tie_N: among equal gains the smallest wins.
        b: number of picks.
        weight_N: how much each row counts, 0 or more; all alike by default.

    Returns:
        Rows in the order picked, fewer than `b` when no open row adds anything; gains, which never increase.
    """
    return Coverage(x_N_d, similarity, centres, weight_N).greedy(open_N, tie_N, b)


class Coverage:
    """How well each row is covered and what each row would add, kept up to date pick by pick.

    Attributes:
        best_N: coverage of every row, in whole multiples of `unit`.
        gain_N: what each row would add, int64, in the same multiples.
        unit: what 1 counts.
    """

    def __init__(self, x_N_d: Array, similarity: Similarity, centres: Rows, weight_N: Array | None = None) -> None:
        N = len(x_N_d)
        self._x, self._similarity, self._lists, self._lock = dense(x_N_d), similarity, _Lists(N), Lock()
        # A power of two, so that weights of few bits stay exact and what adds up to the same is tied.
        most = 1.0 if weight_N is None else 2.0 ** ceil(log2(float(weight_N.max(initial=0.0)) or 1.0))
        share_N = np.ones(N) if weight_N is None else weight_N.astype(np.float64) / most
        self.unit, self._weight_N = most / pairs.UNIT, share_N * pairs.UNIT
        self.best_N, self.gain_N = np.zeros(N), np.zeros(N, np.int64)
        for centre in centres:
            rows, value = self.risen(int(centre), self.best_N)
            self.best_N[rows] = value

        counted = np.flatnonzero(self._weight_N > 0.0)
        self._is_sampled = 2 * len(counted) < N
        if self._is_sampled:
            # From all as well covered as can be, where nothing gains, to where they are.
            self.move(counted, np.rint(self._weight_N[counted]), self.best_N[counted])
        else:
            self._sum_gains()

    def _sum_gains(self) -> None:
        """Sum the gains of all rows from nothing. Sums are exact, so the outcome is that of any number of moves."""
        N = len(self._x)
        self.gain_N[:] = 0

        def first_gains(block: slice) -> None:
            own_N = np.zeros(N, np.int64)
            pairs.first_gains(self._x, self._weight_N, self.best_N, *self._similarity, block.start, block.stop, own_N)
            self._gather(own_N)

        each_block(first_gains, N, stretch(N), what=COMPARING)

    def largest_gains(self, open_N: Bools, b: int) -> float:
        """Return the sum of the `b` largest gains of open rows: no `b` of them add more together."""
        gain = self.gain_N[open_N]
        if b < len(gain):
            gain = np.partition(gain, len(gain) - b)[len(gain) - b :] if b else gain[:0]
        return float(gain.sum()) * self.unit

    def greedy(self, open_N: Bools, tie_N: Hashes, b: int) -> tuple[Rows, Array]:
        """Return what `greedy_cover` does. The last pick is not covered by yet: call `add` if more is to follow."""
        open_N = open_N.copy()
        picked: list[int] = []
        gain: list[int] = []
        while len(picked) < b:
            if picked:
                self.add(picked[-1], b - len(picked))
            row = int(pairs.largest(self.gain_N, open_N, tie_N))
            if row < 0 or self.gain_N[row] <= 0:
                break
            open_N[row] = False
            picked.append(row)
            gain.append(int(self.gain_N[row]))
            tell("picking", len(picked), b)
        return np.array(picked, np.intp), np.array(gain, np.float64) * self.unit

    def add(self, row: int, left: int) -> None:
        """Cover by `row` too; about `left` picks will follow."""
        rows, new = self.risen(row, self.best_N)
        old = self.best_N[rows]
        self.best_N[rows] = new
        if len(rows) > AFRESH * len(self._x) and not self._is_sampled:
            self._sum_gains()
            return
        listed = self._lists.listed(rows)
        self._lists.walk(rows[listed], old[listed], new[listed], self.gain_N)
        rows, old, new = rows[~listed], old[~listed], new[~listed]
        lasting = left >= pairs.LANES // 2
        if lasting and 0 < len(rows) < pairs.LANES:
            # Lanes without work look at rows that have no list yet; where they stood is where they stay.
            idle = self._lists.unlisted(pairs.LANES - len(rows))
            rows = np.append(rows, idle)
            old, new = np.append(old, self.best_N[idle]), np.append(new, self.best_N[idle])
        self.move(rows, old, new, lasting=lasting)

    def move(self, rows: Rows, old: Array, new: Array, *, lasting: bool = False) -> None:
        """Bring the gains up to date after `rows` went from `old` to `new` coverage, up or down.

        `lasting`: enough picks will follow for lists to pay.
        """

        def work(block: slice) -> None:
            own_N = np.zeros_like(self.gain_N)
            scratch = self._lists.scratch(lasting)
            for first in range(block.start, block.stop, pairs.LANES):
                part = slice(first, min(first + pairs.LANES, block.stop))
                pairs.change(
                    self._x, rows[part], old[part], new[part], self._weight_N, *self._similarity, own_N, *scratch
                )
                if lasting:
                    with self._lock:
                        self._lists.keep(rows[part], *scratch)
            self._gather(own_N)

        if len(rows) > SHARE:
            each_block(work, len(rows), SHARE)
        elif len(rows):
            work(slice(0, len(rows)))

    def _gather(self, own_N: npt.NDArray[np.int64]) -> None:
        with self._lock:
            self.gain_N += own_N

    def risen(self, row: int, above_N: Array) -> tuple[Rows, Array]:
        """Return the rows that `row` covers better than `above_N`, and how well."""
        rows, value = np.empty(len(above_N), np.intp), np.empty(len(above_N))
        kind, scale, _ = self._similarity
        count = pairs.risen(self._x, row, self._weight_N, above_N, kind, scale, rows, value)
        return rows[:count], value[:count]


class _Lists:
    """For rows that few others would still cover better: which these are, so that the rest is not looked at again."""

    def __init__(self, N: int) -> None:
        self._room = max(16, min(N // 16, 2 * LISTED // max(N, 1)))
        self._start_N, self._length_N = np.full(N, -1), np.zeros(N, np.int64)
        self._seen, self._value = np.empty(0, np.int32), np.empty(0)
        self._used = self._next = 0

    def listed(self, rows: Rows) -> Bools:
        """Say which rows have a list."""
        return self._start_N[rows] >= 0

    def unlisted(self, most: int) -> Rows:
        """Return up to `most` rows without a list; each is offered once."""
        found = self._next + np.flatnonzero(self._start_N[self._next : self._next + 4 * pairs.LANES] < 0)[:most]
        full = len(found) == most
        self._next = int(found[-1]) + 1 if full else min(self._next + 4 * pairs.LANES, len(self._start_N))
        return found

    def scratch(self, wanted: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Array]:
        """Return where the lists of one block go: their lengths, entries and values."""
        shape = pairs.LANES, self._room if wanted and self._used < LISTED else 0
        return np.empty(pairs.LANES, np.int64), np.empty(shape, np.int32), np.empty(shape)

    def keep(self, rows: Rows, length: npt.NDArray[np.int64], seen: npt.NDArray[np.int32], value: Array) -> None:
        """Take over the lists of `rows` from the scratch."""
        if not seen.size:
            return
        for i in np.flatnonzero(length[: len(rows)] >= 0):
            row, end = rows[i], self._used + int(length[i])
            if end > len(self._seen):
                self._grow(end)
            self._start_N[row], self._length_N[row] = self._used, length[i]
            self._seen[self._used : end], self._value[self._used : end] = seen[i, : length[i]], value[i, : length[i]]
            self._used = end

    def walk(self, rows: Rows, old: Array, new: Array, gain_N: npt.NDArray[np.int64]) -> None:
        """Bring the gains up to date for rows that have lists."""
        pairs.walk(rows, old, new, self._start_N, self._length_N, self._seen, self._value, gain_N)

    def _grow(self, least: int) -> None:
        more = max(least, len(self._seen) * 3 // 2) - len(self._seen)
        self._seen = np.append(self._seen, np.empty(more, np.int32))
        self._value = np.append(self._value, np.empty(more))
