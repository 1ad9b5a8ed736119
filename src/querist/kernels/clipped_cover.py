"""Facility location between a floor and a cap per row: coverage that counts from what is known up to what is wanted."""

from collections.abc import Callable, Iterator

import numpy as np

from querist.arrays import Array, Bools, Hashes, Ids, Rows
from querist.kernels.certificate import Certificate, most_possible
from querist.kernels.jit import dense, jit
from querist.kernels.likeness import Likeness
from querist.kernels.maximise import maximise
from querist.kernels.truncation import CONFIDENCE, Cover, mean_slack, sample_size
from querist.kernels.workers import each_block
from querist.seeds import Key

UNIT = 2.0**40
"""What a similarity of 1 counts: sums of whole multiples are exact, whatever their order."""

WIDE, TALL = 64, 128
"""Rows on the two sides of a tile."""

ABREAST = 4
"""Rows that meet a row of the other side at once."""

KEPT = 0.7
"""Share of the references below their caps from which on the others are left out."""

COMPARING = "comparing rows"
"""What looking at all pairs is called when it tells its progress."""


def clipped_cover(
    likeness: Likeness,
    rows: Rows,
    between: Callable[[Rows], tuple[Array, Array]],
    ids: Ids,
    b: int,
    key: Key,
    *,
    limit: int,
    sample_n: Hashes,
) -> Cover:
    """Return `b` places in `rows` that greedily maximise `ClippedCover` over `rows`, and what that may have lost.

    Up to `limit` rows it is exact. With more, gains are sums over the ``limit^2 / n`` rows of smallest `sample_n`,
    scaled up; every row may still be picked. The certificate is that of `querist.kernels.truncation.certified_cover`,
    with old gains as bounds of those that are left.

    Args:
        likeness: of all rows.
        rows: what is summed over and may be picked.
        between: returns floors and caps of some rows.
        ids: what the key's hashes are of, one per row.
        b: number of picks.
        key: breaks ties.
        limit: with more rows than this, gains are estimated.
        sample_n: hashes that choose the sample.
    """
    n = len(rows)
    m = sample_size(n, limit)
    part = np.arange(n) if m == n else np.sort(np.argpartition(sample_n, m - 1)[:m])
    floor_m, cap_m = between(rows[part])
    cover = ClippedCover(likeness, rows[part], floor_m, cap_m)
    places, gain = maximise(cover, rows, ids, b, key)
    left = cover.bound_N[np.setdiff1d(rows, rows[places], assume_unique=True)]
    most = min(_largest(cover.first_N[rows], b), most_possible(float(gain.sum()), _largest(left, b), b))
    if m == n:
        return Cover(places, gain, Certificate(float(gain.sum()), most, n, n, 1.0))
    floor_n, cap_n = between(rows)
    room = np.maximum(cap_n - floor_n, 0.0)
    added = np.clip(nearest(likeness, rows, rows[places]) - floor_n, 0.0, room)
    bound = min(n * (most / m + mean_slack(m, n)), float(room.sum()))
    return Cover(places, gain * (n / m), Certificate(float(added.sum()), bound, m, n, CONFIDENCE))


def nearest(likeness: Likeness, rows: Rows, others: Rows) -> Array:
    """Return for each of `rows` its similarity to the most similar of `others`, ``(m,)`` from 0 to 1; 0 without any."""
    best_m = np.zeros(len(rows))
    x = _Side(likeness, rows)
    for start in range(0, len(others) if len(rows) else 0, WIDE):
        for part, like_p_t in x.tiles(others[start : start + WIDE]):
            best_m[part] = np.maximum(best_m[part], like_p_t.max(axis=1))
    return best_m / UNIT


class ClippedCover:
    """``f(A) = sum_i max(min(max_(j in A) s_ij, cap_i) - floor_i, 0)``: monotone and submodular.

    It is facility location if the floors are 0 and the caps 1. ``gain(x) = sum_i max(0, min(s_ix, cap_i) - best_i)``,
    ``best_i`` being what is reached so far, the floor to begin with. Similarities are rounded to 2^-40 and sums are
    exact. A gain takes O(m d) for `m` references that are below their caps; memory is O(m d + blocks).

    Attributes:
        first_N: gains before anything was picked, of rows that were asked for then.
        bound_N: the last gain a row was asked for, which its present one cannot exceed; 0 for those never asked.

    Args:
        likeness: of all rows.
        references: rows i that are summed over.
        floor: ``(m,)``.
        cap: ``(m,)``; references whose cap is not above their floor count for nothing.
    """

    def __init__(self, likeness: Likeness, references: Rows, floor: Array, cap: Array) -> None:
        counted = np.flatnonzero(cap > floor)
        self._side = _Side(likeness, references[counted])
        self._best = np.rint(UNIT * np.clip(floor[counted], 0.0, 1.0))
        self._cap = np.rint(UNIT * np.clip(cap[counted], 0.0, 1.0))
        self.bound_N = self.first_N = np.zeros(len(likeness))

    def gains(self, rows: Rows) -> Array:
        gain = np.zeros(len(rows), np.int64)

        def work(block: slice) -> None:
            own = np.zeros(block.stop - block.start, np.int64)
            for part, like_p_t in self._side.tiles(rows[block]):
                _improve(like_p_t, self._best[part], self._cap[part], own)
            gain[block] = own

        each_block(work, len(rows), WIDE, what=COMPARING if len(rows) > 4 * WIDE else None)
        self.bound_N[rows] = gain / UNIT
        return self.bound_N[rows]

    def add(self, row: int) -> None:
        if self.bound_N is self.first_N:
            self.bound_N = self.first_N.copy()
        for part, like_p_t in self._side.tiles(np.array([row])):
            np.maximum(self._best[part], like_p_t[:, 0], out=self._best[part])
        below = self._best < self._cap
        if np.count_nonzero(below) < KEPT * len(below):
            self._side.keep(below)
            self._best, self._cap = self._best[below], self._cap[below]


class _Side:
    """One side of the pairs, its rows copied together once."""

    def __init__(self, likeness: Likeness, rows: Rows) -> None:
        whole = np.array_equal(rows, np.arange(len(likeness)))
        self._own = [factor if whole else dense(factor[rows]) for factor in likeness.factors]
        self._all, self._size = likeness.factors, len(rows)

    def keep(self, which: Bools) -> None:
        """Go on with some of the rows."""
        self._own, self._size = [dense(own[which]) for own in self._own], int(np.count_nonzero(which))

    def tiles(self, others: Rows) -> Iterator[tuple[slice, Array]]:
        """Yield parts of the rows and how alike they are to `others`, ``(p, t)``, in whole multiples of 1 / `UNIT`.

        An entry depends on its two rows alone, bit for bit.
        """
        padded = np.append(others, np.repeat(others[-1:], -len(others) % ABREAST))
        wanted = [factor[padded].astype(np.float64) for factor in self._all]
        for start in range(0, self._size, TALL):
            part = slice(start, min(start + TALL, self._size))
            like_p_t = np.ones((part.stop - start, len(padded)))
            for own, other in zip(self._own, wanted, strict=True):
                _times(own[part], other, like_p_t)
            like_p_t += 1.0
            like_p_t *= 0.5 * UNIT
            yield part, np.rint(like_p_t, out=like_p_t)[:, : len(others)]


def _largest(gain: Array, b: int) -> float:
    """Return the sum of the `b` largest gains."""
    return float(np.partition(gain, len(gain) - b)[len(gain) - b :].sum() if b < len(gain) else gain.sum())


@jit
def _times(own_p_d, other_t_d, like_p_t):
    """Multiply tiles by the inner products of their rows; `t` is a multiple of `ABREAST`, so all meet the same code."""
    for t in range(0, len(other_t_d), ABREAST):
        v0, v1, v2, v3 = other_t_d[t], other_t_d[t + 1], other_t_d[t + 2], other_t_d[t + 3]
        for p in range(len(own_p_d)):
            u, like_t = own_p_d[p], like_p_t[p]
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for j in range(len(u)):
                x = np.float64(u[j])
                s0 += x * v0[j]
                s1 += x * v1[j]
                s2 += x * v2[j]
                s3 += x * v3[j]
            like_t[t] *= s0
            like_t[t + 1] *= s1
            like_t[t + 2] *= s2
            like_t[t + 3] *= s3


@jit
def _improve(like_p_t, best_p, cap_p, gain_t):
    """Add to `gain_t` what each column improves."""
    sum_t = np.zeros(len(gain_t))
    for p in range(len(best_p)):
        like_t, best, cap = like_p_t[p], best_p[p], cap_p[p]
        for t in range(len(sum_t)):
            sum_t[t] += max(min(like_t[t], cap) - best, 0.0)
    # Up to 2^13 terms below 2^40 add up exactly.
    for t in range(len(sum_t)):
        gain_t[t] += np.int64(sum_t[t])
