"""Lloyd's iterations, in which bounds tell which centres cannot have come nearest to a row."""

import numpy as np

from querist.arrays import Array, Rows
from querist.kernels.jit import jit
from querist.kernels.workers import each_block
from querist.progress import tell

BLOCK = 8192
"""Rows that one thread takes at a time."""

GROUP = 32
"""Centres per group, on average."""

STATE = 2**24
"""The most bounds that are kept, 64 MB; with more rows there are fewer groups."""

CROWDED = 0.5
"""From this share of pairs of rows and groups on, a block is multiplied as a whole instead of row by row."""


def lloyd(
    x_N_d: Array,
    centres_k_d: Array,
    iterations: int,
    *,
    weight_N: Array | None = None,
    restart: int = 0,
    restarts: int = 1,
) -> tuple[Array, Rows]:
    """Return the centres after up to `iterations` updates, and the nearest centre of each row, ties by smallest number.

    The iterates are those of the plain algorithm; less is computed. Centres are put into groups once, and each row
    remembers for each group a lower bound of the distance to all its centres but the row's own. A bound falls by as
    much as the group's fastest centre moves, and while it is above the distance to the row's own centre nothing of the
    group is looked at (Ding et al., Yinyang k-means, ICML 2015). What rounding may change is added to the bounds, so
    the label is that of the largest ``<x, c> - |c|^2 / 2`` in the rows' own precision, as if all had been computed.

    Time per iteration O(N (d + k / 32)) and 2 d operations for each pair that is looked at; memory O(N + k d) and at
    most 64 MB of bounds.

    Args:
        x_N_d: points, as `dense` makes them.
        centres_k_d: where to start, float64.
        iterations: the most updates of the centres.
        weight_N: how much a row counts in the mean of its cluster, not negative; without them every row counts 1. A
            cluster whose rows all weigh 0 keeps its centre where it was.
        restart: which one this is of `restarts`, for those who hear of the progress.
        restarts: see there.
    """
    search = _Search(x_N_d, centres_k_d)
    weight_N = np.ones(len(x_N_d)) if weight_N is None else weight_N
    for iteration in range(iterations):
        tell("clustering", restart * iterations + iteration, restarts * iterations)
        if not search.assign(centres_k_d):
            return centres_k_d, search.label_N
        total_k_d, count_k = np.zeros_like(centres_k_d), np.zeros(len(centres_k_d))
        # By one thread and in order of rows, so that the last bits are always the same.
        _absorb(x_N_d, search.label_N, weight_N, total_k_d, count_k)
        held = count_k > 0
        centres_k_d = centres_k_d.copy()
        centres_k_d[held] = total_k_d[held] / count_k[held, None]
    search.assign(centres_k_d)
    return centres_k_d, search.label_N


class _Search:
    """The nearest centre of every row, now and after centres have moved a little."""

    def __init__(self, x_N_d: Array, centres_k_d: Array) -> None:
        N, k = len(x_N_d), len(centres_k_d)
        self._x_N_d, self._centres_k_d = x_N_d, centres_k_d
        t = max(1, min(k // GROUP, STATE // N))
        self._of_k = _groups(centres_k_d, t)
        self._order = np.argsort(self._of_k, kind="stable")
        ends = np.cumsum(np.bincount(self._of_k, minlength=t))
        self._groups = [slice(start, stop) for start, stop in zip(np.append(0, ends[:-1]), ends, strict=True)]
        self.label_N = np.full(N, -1, np.intp)
        self._low_N_t = np.full((N, t), -np.inf, np.float32)
        self._squared_N = np.einsum("Nd,Nd->N", x_N_d, x_N_d, dtype=np.float64)

    def assign(self, centres_k_d: Array) -> bool:
        """Bring the labels up to date; return whether any has changed."""
        x_N_d, t = self._x_N_d, len(self._groups)
        moved_k = np.sqrt(np.square(centres_k_d - self._centres_k_d).sum(axis=1)) * (1.0 + 1e-6)
        moved_t = np.zeros(t)
        np.maximum.at(moved_t, self._of_k, moved_k)
        self._centres_k_d = centres_k_d
        c_k_d = centres_k_d.astype(x_N_d.dtype)
        sorted_k_d = c_k_d[self._order]
        half_k = 0.5 * np.square(sorted_k_d).sum(axis=1)
        # Twice the bound of rounding in a product and its sums, see `Nearest`; and as much in the rounding of centres.
        unit = 2.0 * (x_N_d.shape[1] + 8) * float(np.finfo(x_N_d.dtype).eps)
        largest = 2.0 * float(half_k.max())
        changed: list[bool] = []

        def work(block: slice) -> None:
            x_m_d, low_m_t, label_m = x_N_d[block], self._low_N_t[block], self.label_N[block]
            slack_m = unit * (self._squared_N[block] + largest) + 1e-30
            rows_t_m, count_t = np.empty((t, len(x_m_d)), np.int32), np.zeros(t, np.intp)
            _ask(x_m_d, c_k_d, label_m, self._of_k, moved_t, slack_m, unit, low_m_t, rows_t_m, count_t)
            if not count_t.any():
                return
            whole = count_t.sum() > CROWDED * rows_t_m.size
            if whole:
                rows_t_m[:], count_t[:] = np.arange(len(x_m_d)), len(x_m_d)
            best_m, new_m = np.full(len(x_m_d), -np.inf, x_m_d.dtype), np.full(len(x_m_d), -1, np.intp)
            for g in np.flatnonzero(count_t):
                rows, group = rows_t_m[g, : count_t[g]], self._groups[g]
                score_w_r = sorted_k_d[group] @ (x_m_d if whole else x_m_d[rows]).T
                _compare(
                    score_w_r, half_k[group], self._order[group], g, rows, self._squared_N[block], slack_m,
                    self._of_k, best_m, new_m, low_m_t,
                )  # fmt: skip
            looked = new_m >= 0
            if (label_m[looked] != new_m[looked]).any():
                label_m[looked] = new_m[looked]
                changed.append(True)

        each_block(work, len(x_N_d), BLOCK)
        return bool(changed)


def _groups(centres_k_d: Array, t: int) -> Rows:
    """Return a group for each centre, the same for centres that are equal."""
    middle_t_d = centres_k_d[:: len(centres_k_d) // t][:t].copy()
    for last in (False, False, False, True):
        gap_k_t = np.square(middle_t_d).sum(axis=1) - 2.0 * np.einsum("kd,td->kt", centres_k_d, middle_t_d)
        of_k = gap_k_t.argmin(axis=1)
        if not last:
            for g in np.unique(of_k):
                middle_t_d[g] = centres_k_d[of_k == g].mean(axis=0)
    return of_k


@jit
def _ask(x_m_d, c_k_d, label_m, of_k, moved_t, slack_m, unit, low_m_t, rows_t_m, count_t):
    """Lower the bounds, and list for each group the rows whose nearest centre may be in it.

    A row with any such group is listed for the group of its own centre too: so all that is compared was computed alike.
    """
    t = len(moved_t)
    down_t = np.empty(t, np.float32)
    for g in range(t):
        down_t[g] = moved_t[g] * 1.000001
    for i in range(len(x_m_d)):
        low_t = low_m_t[i]
        for g in range(t):
            low_t[g] = (low_t[g] - down_t[g]) * np.float32(0.9999995)
        own, far = -1, np.float32(np.inf)
        if label_m[i] >= 0:
            u, v = x_m_d[i], c_k_d[label_m[i]]
            gap = x_m_d.dtype.type(0)
            for j in range(len(u)):
                difference = u[j] - v[j]
                gap += difference * difference
            own, far = of_k[label_m[i]], np.float32(np.sqrt(gap * (1.0 + unit) + slack_m[i]) * 1.000001)
        asked = 0
        for g in range(t):
            asked += not low_t[g] > far
        if asked == 0:
            continue
        for g in range(t):
            if g == own or not low_t[g] > far:
                rows_t_m[g, count_t[g]] = i
                count_t[g] += 1


@jit
def _compare(score_w_r, half_w, number_w, g, rows, squared_m, slack_m, of_k, best_m, new_m, low_m_t):
    """Compare rows with the centres of a group; a bound is that of the best centre, or the second if the best wins."""
    r = len(rows)
    first_r, second_r = np.full(r, -np.inf, score_w_r.dtype), np.full(r, -np.inf, score_w_r.dtype)
    place_r = np.zeros(r, np.int32)
    for c in range(len(half_w)):
        score_r, half, at = score_w_r[c], half_w[c], np.int32(c)
        for i in range(r):
            score = score_r[i] - half
            second_r[i] = max(second_r[i], min(first_r[i], score))
            place_r[i] = at if score > first_r[i] else place_r[i]
            first_r[i] = max(first_r[i], score)
    for i in range(r):
        row, number = rows[i], number_w[place_r[i]]
        bound = first_r[i]
        if first_r[i] > best_m[row] or (first_r[i] == best_m[row] and number < new_m[row]) or new_m[row] < 0:
            if new_m[row] >= 0:
                low_m_t[row, of_k[new_m[row]]] = _low(best_m[row], squared_m[row], slack_m[row])
            best_m[row], new_m[row] = first_r[i], number
            bound = second_r[i]
        low_m_t[row, g] = _low(bound, squared_m[row], slack_m[row])


@jit
def _low(score, squared, slack):
    return np.float32(np.sqrt(max(squared - 2.0 * np.float64(score) - slack, 0.0)) * 0.9999995)


@jit
def _absorb(x_N_d, label_N, weight_N, total_k_d, count_k):
    """Add the rows, each as often as it weighs, to their clusters."""
    for i in range(len(x_N_d)):
        weight = weight_N[i]
        count_k[label_N[i]] += weight
        total_d, u = total_k_d[label_N[i]], x_N_d[i]
        for j in range(len(u)):
            total_d[j] += weight * u[j]
