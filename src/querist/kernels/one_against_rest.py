"""Where one class ends and the rest begins among rows in order of their probability: what to ask to find out.

Marks are +1 for labelled rows of the class, -1 for labelled rows of any other, 0 for rows without a label; places count
from the row that is most likely of the class.
"""

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Hashes, Rows
from querist.kernels.jit import jit

Marks = npt.NDArray[np.int64]

BESIDE, ANYWHERE = 0, -1
"""What `bisection` returns as the length of a run when it found none to halve: a place beside a cut, or any place."""


def ordering(p_N_c: Array, k: int, tie_N: Hashes) -> Rows:
    """Return the rows in order of how likely class `k` is against the best of the others, most likely first.

    Rows whose most likely class is `k` come first, by falling confidence; the others by ``p_k - max p``, falling.
    Zhang, Katz-Samuels & Nowak, ICML 2022. Ties by smallest hash. Time O(N c + N log N), memory O(N).
    """
    most_N, own_N = p_N_c.max(axis=1), p_N_c[:, k]
    score_N = np.where(own_N >= most_N, most_N, own_N - most_N)
    return np.lexsort((tie_N, -score_N))


def bisection(mark_N: Marks, tie_N: Hashes) -> tuple[int, int]:
    """Return the place to ask next if the class is to be told from the rest in few steps, and the length of its run.

    A run is the rows without a label between two neighbouring labelled ones of which one is of the class and one is
    not. The place is the middle of the shortest run (the earlier of two). Without a run it is the place without a label
    that is nearest to a pair of such neighbours, and the length `BESIDE`; without such a pair that of the smallest
    hash, and the length `ANYWHERE`. Ties by smallest hash. The step of S^2 (Dasarathy et al., COLT 2015) on a line.

    Args:
        mark_N: in order; at least one is 0.
        tie_N: in the same order.
    """
    at = np.flatnonzero(mark_N)
    opposite = mark_N[at[1:]] != mark_N[at[:-1]]
    length = np.diff(at) - 1
    if (runs := np.flatnonzero(opposite & (length > 0))).size:
        least = int(length[runs].min())
        middle = at[runs[length[runs] == least]] + 1 + (least - 1) // 2
        return int(middle[tie_N[middle].argmin()]), least
    open_m = np.flatnonzero(mark_N == 0)
    if not opposite.any():
        return int(open_m[tie_N[open_m].argmin()]), ANYWHERE
    return _nearest(open_m, at[1:][opposite], tie_N), BESIDE


def interval(mark_N: Marks) -> tuple[int, int]:
    """Return the places from, and up to but without, which the class may end, as far as labels tell.

    It reaches from behind the last row of the class before the first of another to the first of another behind the last
    of the class: without errors and overlap, from the last labelled row of the class to the first of the rest. Every
    labelled row inside is one that no threshold explains together with the others; each halves the interval, from the
    side whose threshold agrees with fewer labels, so that noise cannot keep it wide. Nuggehalli et al., ICML 2025; they
    shrink it by a schedule that must know the budget.
    """
    own, other = np.flatnonzero(mark_N > 0), np.flatnonzero(mark_N < 0)
    first_other = int(other[0]) if len(other) else len(mark_N)
    last_own = int(own[-1]) if len(own) else -1
    before, behind = own[own < first_other], other[other > last_own]
    start = int(before[-1]) + 1 if len(before) else 0
    stop = int(behind[0]) if len(behind) else len(mark_N)
    inside = np.count_nonzero(mark_N[start:stop])
    wide = stop - start - inside
    # Beyond 60 halvings nothing is left to halve.
    start, stop = _shrunk(mark_N, start, stop, -(-wide // 2 ** min(inside, 60)))
    return int(start), int(stop)


def threshold(mark_N: Marks) -> int:
    """Return how many rows stand before the threshold that agrees with most labels; of equals the middle one."""
    agreed = np.append(0, np.cumsum(mark_N))
    best = np.flatnonzero(agreed == agreed.max())
    return int(best[len(best) // 2])


def beside(mark_N: Marks, place: int, tie_N: Hashes) -> int:
    """Return the place without a label nearest to the boundary before `place`, ties by smallest hash."""
    return _nearest(np.flatnonzero(mark_N == 0), np.array([place]), tie_N)


def _nearest(open_m: Rows, bound_q: Rows, tie_N: Hashes) -> int:
    """Return which of some places, ascending, is nearest to one of the boundaries before `bound_q`."""
    after_q = np.searchsorted(open_m, bound_q)
    left, right = after_q > 0, after_q < len(open_m)
    place = np.append(open_m[after_q[left] - 1], open_m[after_q[right]])
    gap = np.append(bound_q[left] - 1 - open_m[after_q[left] - 1], open_m[after_q[right]] - bound_q[right])
    nearest = place[gap == gap.min()]
    return int(nearest[tie_N[nearest].argmin()])


@jit
def _shrunk(mark_N, start, stop, wanted):
    """Move the ends towards each other, the one that agrees with fewer labels first, until few enough rows are open."""
    more, open_rows = 0, 0
    for i in range(start, stop):
        more += mark_N[i]  # how many more labels the threshold at the end agrees with than that at the start
        open_rows += mark_N[i] == 0
    while open_rows > wanted:
        if more > 0 or (more == 0 and open_rows % 2 == 0):
            more -= mark_N[start]
            open_rows -= mark_N[start] == 0
            start += 1
        else:
            stop -= 1
            more -= mark_N[stop]
            open_rows -= mark_N[stop] == 0
    return start, stop
