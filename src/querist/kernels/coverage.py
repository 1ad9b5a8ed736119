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

FEW = 2**13
"""Rows up to which looking ahead costs more than it saves."""

SAMPLED = 32
"""One of so many rows is looked at to guess which picks come first."""

TRIED = 16
"""Rows whose gains over all rows are compared for every guess."""

DEEPEST, RAISING = 8, 0.08
"""The most guesses, and the share of rows that a pick must raise to be worth guessing."""

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

    The first picks cover most rows better, and each would cost another look at most pairs. So they are guessed from a
    sample of the rows, and the one look at all pairs sums the gains before and after each of the guesses: a guess that
    has the largest gain is the pick. Wrong guesses cost time alone.

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
        unit: what 1 counts.
        most: what no choice of rows could have added more than when `greedy` began.
    """

    def __init__(self, x_N_d: Array, similarity: Similarity, centres: Rows, weight_N: Array | None = None) -> None:
        N = len(x_N_d)
        self._x, self._similarity, self._lists, self._lock = dense(x_N_d), similarity, _Lists(N), Lock()
        # A power of two, so that weights of few bits stay exact and what adds up to the same is tied.
        most = 1.0 if weight_N is None else 2.0 ** ceil(log2(float(weight_N.max(initial=0.0)) or 1.0))
        share_N = np.ones(N) if weight_N is None else weight_N.astype(np.float64) / most
        self.most = 0.0
        self.unit, self._weight_N = most / pairs.UNIT, share_N * pairs.UNIT
        self.best_N = np.zeros(N)
        self._gain_N: npt.NDArray[np.int64] | None = None
        self._is_sampled = 2 * np.count_nonzero(self._weight_N) < N
        for centre in centres:
            rows, value = self.risen(int(centre), self.best_N)
            self.best_N[rows] = value

    @property
    def gain_N(self) -> npt.NDArray[np.int64]:  # noqa: N802 - axis letters
        """What each row would add, int64, in whole multiples of `unit`; summed when first asked for."""
        gain_N = self._gain_N
        if gain_N is None:
            gain_N = self._gain_N = (
                np.zeros(len(self._x), np.int64) if self._is_sampled else self._sum_gains(self.best_N[None])[0]
            )
            if self._is_sampled:
                # From all as well covered as can be, where nothing gains, to where they are.
                counted = np.flatnonzero(self._weight_N)
                self.move(counted, np.rint(self._weight_N[counted]), self.best_N[counted])
        return gain_N

    def _sum_gains(self, best_k_N: Array) -> npt.NDArray[np.int64]:
        """Return the gains of all rows over each of k coverages, ``(k, N)``: exact, as any moves leave them."""
        gain_k_N = np.zeros(best_k_N.shape, np.int64)

        def first_gains(block: slice) -> None:
            own_k_N = np.zeros_like(gain_k_N)
            pairs.first_gains(self._x, self._weight_N, best_k_N, *self._similarity, block.start, block.stop, own_k_N)
            with self._lock:
                np.add(gain_k_N, own_k_N, out=gain_k_N)

        each_block(first_gains, len(self._x), stretch(len(self._x)), what=COMPARING)
        return gain_k_N

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
        guess, best_k_N, gain_k_N = [], self.best_N[None], None
        if self._gain_N is None and not self._is_sampled:
            guess, best_k_N = self._guess(open_N, tie_N, b)
            gain_k_N = self._sum_gains(best_k_N)
            self._gain_N = gain_k_N[0]
        self.most = self.largest_gains(open_N, b)
        while len(picked) < b:
            row = int(pairs.largest(self.gain_N, open_N, tie_N))
            if row < 0 or self.gain_N[row] <= 0:
                break
            open_N[row] = False
            picked.append(row)
            gain.append(int(self.gain_N[row]))
            step = len(picked)
            tell("picking", step, b)
            if gain_k_N is not None and picked == guess[:step]:
                self.best_N, self._gain_N = best_k_N[step].copy(), gain_k_N[step].copy()
            elif step < b:
                self.add(row, b - step)
        return np.array(picked, np.intp), np.array(gain, np.float64) * self.unit

    def _guess(self, open_N: Bools, tie_N: Hashes, b: int) -> tuple[list[int], Array]:
        """Return likely first picks, fewer than `b`, and the coverage before and after each, ``(picks + 1, N)``.

        Of the rows that gain most over a sample, the one that gains most over all; as long as that raises many rows.
        """
        N, before_N, guess = len(self._x), self.best_N, []
        best_k_N, open_N = [before_N], open_N.copy()
        is_part_N = np.zeros(N, bool)
        is_part_N[np.flatnonzero(self._weight_N)[::SAMPLED]] = True
        part = np.flatnonzero(is_part_N)
        if N > FEW and b > 1:
            self.best_N, self._gain_N = before_N.copy(), np.zeros(N, np.int64)
            self.move(part, np.rint(self._weight_N[part]), before_N[part])
            while len(guess) < min(b - 1, DEEPEST) and open_N.any():
                row, rows, new = self._best_tried(open_N, tie_N)
                if len(rows) < RAISING * N:
                    break
                sampled, old = is_part_N[rows], self.best_N[rows]
                self.best_N[rows], open_N[row] = new, False
                self.move(rows[sampled], old[sampled], new[sampled])
                guess.append(row)
                best_k_N.append(self.best_N.copy())
            self.best_N, self._gain_N = before_N, None
        return guess, np.array(best_k_N)

    def _best_tried(self, open_N: Bools, tie_N: Hashes) -> tuple[int, Rows, Array]:
        """Return the row that gains most over all rows, of some with large present gains, and what it covers better."""
        tried = np.flatnonzero(open_N)
        if len(tried) > TRIED:
            tried = tried[np.argpartition(self.gain_N[tried], len(tried) - TRIED)[-TRIED:]]
        raised = {int(row): self.risen(int(row), self.best_N) for row in tried}
        gain = {row: int((new - self.best_N[rows]).astype(np.int64).sum()) for row, (rows, new) in raised.items()}
        best = min(gain, key=lambda row: (-gain[row], tie_N[row]))
        return best, *raised[best]

    def add(self, row: int, left: int) -> None:
        """Cover by `row` too; about `left` picks will follow."""
        rows, new = self.risen(row, self.best_N)
        old = self.best_N[rows]
        self.best_N[rows] = new
        if len(rows) > AFRESH * len(self._x) and not self._is_sampled:
            self._gain_N = self._sum_gains(self.best_N[None])[0]
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
            with self._lock:
                np.add(self.gain_N, own_N, out=self._gain_N)

        if len(rows) > SHARE:
            each_block(work, len(rows), SHARE)
        elif len(rows):
            work(slice(0, len(rows)))

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
