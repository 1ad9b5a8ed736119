"""Farthest-first traversal: greedily covers a set of points with balls of the smallest radius."""

import numpy as np

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.nearest import Nearest, column_sums, gap_to
from querist.progress import tell

POOL = 12 * 2**20
"""Bytes of the rows among which picks are sought: they stay in the cache from pick to pick."""

BLOCK = 1024
"""The fewest rows of a pool, and how many are read at a time."""


def farthest_first(x_N_d: Array, centres: Rows, open_N: Bools, tie_N: Hashes, b: int) -> tuple[Rows, Array]:
    """Return `b` rows, each the farthest from all centres and earlier picks, and how far each was.

    Distances are sums of squared differences in float64, so that nothing cancels: an exact duplicate of a centre is at
    distance 0, a near one never at the root of a negative number. Gonzalez, TCS 1985; Sener & Savarese, ICLR 2018.

    Exact and lazy: the distance to some of the centres bounds that to all of them. Picks come from a pool of the rows
    with the largest bounds for as long as its farthest row exceeds every bound outside; then the pool is renewed.
    Beyond the points, which may be float16 and may lie in a file, memory is O(N + pool + b d).

    Args:
        x_N_d: points.
        centres: rows that are covered already; without any the first pick is the smallest `tie_N`, at distance inf.
        open_N: rows that may be picked; at least `b`.
        tie_N: among equally far rows the smallest wins.
        b: number of picks.

    Returns:
        Rows in the order picked and their Euclidean distances, which never increase.
    """
    rows, gap = np.empty(b, np.intp), np.empty(b)
    near_N = np.where(open_N, np.inf, -1.0)
    nearest = Nearest(x_N_d, near_N, len(centres) + b)
    nearest.add(centres)
    step = 0
    if b and not len(centres):
        everything = np.flatnonzero(open_N)
        rows[0], gap[0], step = everything[tie_N[everything].argmin()], np.inf, 1
        near_N[rows[0]] = -1.0
        nearest.add(rows[:1])
    members = max(BLOCK, POOL // max(1, nearest.row_bytes))
    if step < b and int(open_N.sum()) > members:
        nearest.approach_all()
    while step < b:
        pool, least, last_tie = _farthest(near_N, tie_N, members)
        step = nearest.pick(pool, tie_N[pool], least, last_tie, rows, gap, step)
        tell("picking", step, b)
    return rows, np.sqrt(gap)


def nearest_to_mean(x_N_d: Array, open_N: Bools, tie_N: Hashes) -> int:
    """Return the open row nearest to the mean of all rows, ties by smallest `tie_N`."""
    mean_d = column_sums(x_N_d) / len(x_N_d)
    gap_N = gap_to(x_N_d, mean_d)
    rows = np.flatnonzero(open_N & (gap_N == gap_N[open_N].min()))
    return int(rows[tie_N[rows].argmin()])


def _farthest(near_N: Array, tie_N: Hashes, members: int) -> tuple[Rows, float, int]:
    """Return the `members` open rows of largest bound, and the bound and hash that a row must reach to be certain.

    Rows are in the order (bound falling, hash rising), in which no two are equal. A row inside whose true distance
    comes before the first row outside is farther than everything outside, whatever the true distances there are.
    """
    last = int(np.iinfo(np.uint64).max)
    rows = np.flatnonzero(near_N >= 0.0)
    if len(rows) <= members:
        return rows, 0.0, last
    near = near_N[rows]
    least = np.partition(near, len(near) - members)[len(near) - members]
    tied = rows[near == least]
    tied = tied[np.argsort(tie_N[tied])]
    above = rows[near > least]
    inside, outside = np.split(tied, [members - len(above)])
    return np.concatenate([above, inside]), float(least), int(tie_N[outside[0]]) if len(outside) else last
