"""k-medoids: rows whose distances to all others sum to least, greedily and then by swaps."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels import pairs
from querist.kernels.coverage import Coverage, Similarity, closeness
from querist.kernels.jit import dense
from querist.progress import tell


def k_medoids(
    x_N_d: Array, centres: Rows, open_N: Bools, tie_N: Hashes, b: int, *, swaps: bool = True, reach: float = 2.0
) -> tuple[Rows, npt.NDArray[np.intp]]:
    """Return up to `b` rows that minimise ``sum_i min_(j in centres u S) |x_i - x_j|`` as far as swaps can.

    Greedy start, then in turn for each pick the best swap with any open row, until none of them lowers the sum. The
    result has no better neighbour by one swap (PAM: Kaufman & Rousseeuw 1990; eager swaps: Schubert & Rousseeuw,
    Information Systems 2021). A swap costs O(N d) for each row that changes its nearest medoid; memory O(N).

    Args:
        x_N_d: points.
        centres: rows that are medoids already and stay.
        open_N: rows that may be picked.
        tie_N: among equal sums the smallest wins.
        b: number of picks.
        swaps: whether to go on after the greedy start.
        reach: no two points are farther apart than this; 2 for points of unit length.

    Returns:
        Rows, the one nearest to most others first, fewer than `b` when every row is a duplicate of a medoid; and to how
        many rows each is the nearest medoid, itself included.
    """
    similarity = closeness(reach)
    coverage = Coverage(x_N_d, similarity, centres)
    picked, _ = coverage.greedy(open_N, tie_N, b)
    nearest = _Nearest(dense(x_N_d), np.append(centres, picked), similarity)
    if swaps and len(picked) == b:
        coverage.add(int(picked[-1]), 0)
        open_N = open_N.copy()
        open_N[picked] = False
        _improve(coverage, nearest, len(centres), open_N, tie_N)
    rows = nearest.centres[len(centres) :]
    size = np.bincount(nearest.owner_N, minlength=len(nearest.centres))[len(centres) :]
    order = np.lexsort((tie_N[rows], -size))
    return rows[order], size[order]


def _improve(coverage: Coverage, nearest: "_Nearest", fixed: int, open_N: Bools, tie_N: Hashes) -> None:
    """Swap centres from the number `fixed` on with open rows until no swap helps; updates all but the points."""
    unchanged, k = 0, len(nearest.centres)
    slot = fixed
    while unchanged < k - fixed:
        # gain - loss: what a row adds to all medoids, less what is lost as it takes the place of this one.
        change_N = coverage.gain_N - nearest.losses(slot)
        row = int(pairs.largest(change_N, open_N, tie_N))
        if row >= 0 and change_N[row] > 0:
            open_N[nearest.centres[slot]], open_N[row] = True, False
            old = nearest.first_N.copy()
            nearest.replace(slot, row, coverage)
            rows = np.flatnonzero(nearest.first_N != old)
            coverage.best_N[rows] = nearest.first_N[rows]
            coverage.move(rows, old[rows], nearest.first_N[rows])
            unchanged = 0
        else:
            unchanged += 1
        tell("swapping", unchanged, k - fixed)  # falls back with every swap that helps
        slot = slot + 1 if slot + 1 < k else fixed


class _Nearest:
    """For every row its two nearest centres: their numbers, and how close they are."""

    def __init__(self, x_N_d: Array, centres: Rows, similarity: Similarity) -> None:
        N = len(x_N_d)
        self._x, self._similarity, self.centres = x_N_d, similarity, centres.astype(np.intp)
        self.first_N, self._second_N = np.empty(N), np.empty(N)
        self.owner_N, self._other_N = np.empty(N, np.intp), np.empty(N, np.intp)
        self._search(np.arange(N))

    def losses(self, slot: int) -> npt.NDArray[np.int64]:
        """Return for each row what the members of a centre lose if the row replaces it."""
        rows = np.flatnonzero(self.owner_N == slot)
        loss_N = np.zeros(len(self._x), np.int64)
        pairs.losses(self._x, rows, self.first_N[rows], self._second_N[rows], *self._similarity, loss_N)
        return loss_N

    def replace(self, slot: int, row: int, coverage: Coverage) -> None:
        """Put `row` in the place of a centre."""
        self.centres[slot] = row
        orphans = (self.owner_N == slot) | (self._other_N == slot)
        self._search(np.flatnonzero(orphans))
        rows, value = coverage.risen(row, self._second_N)
        rows, value = rows[~orphans[rows]], value[~orphans[rows]]
        ahead = value > self.first_N[rows]
        won, close = rows[ahead], rows[~ahead]
        self._second_N[won], self._other_N[won] = self.first_N[won], self.owner_N[won]
        self.first_N[won], self.owner_N[won] = value[ahead], slot
        self._second_N[close], self._other_N[close] = value[~ahead], slot

    def _search(self, rows: Rows) -> None:
        first, second = np.empty(len(rows)), np.empty(len(rows))
        owner, other = np.empty(len(rows), np.intp), np.empty(len(rows), np.intp)
        kind, scale, _ = self._similarity
        pairs.two_best(self._x, rows, self.centres, kind, scale, first, second, owner, other)
        self.first_N[rows], self._second_N[rows] = first, second
        self.owner_N[rows], self._other_N[rows] = owner, other
