"""Greedy maximisation of set functions: naive, lazy, on random samples, and both at once."""

from heapq import heapify, heappop, heappush
from math import ceil, log
from typing import Literal, Protocol, TypeAlias

import numpy as np

from querist.arrays import Array, Hashes, Ids, Rows
from querist.kernels.top import top_b
from querist.progress import tell
from querist.seeds import Key

Method: TypeAlias = Literal["naive", "lazy", "stochastic", "lazier_than_lazy"]

AT_ONCE = 64
"""The most stale gains that are renewed together."""


class Objective(Protocol):
    """A set function together with the set picked so far."""

    def gains(self, rows: Rows) -> Array:
        """Return what each of `rows`, none of them picked, would add to the present set, float64."""
        ...

    def add(self, row: int) -> None:
        """Pick a row."""
        ...


def maximise(
    objective: Objective, rows: Rows, ids: Ids, b: int, key: Key, method: Method = "lazy", epsilon: float = 0.01
) -> tuple[Rows, Array]:
    """Return `b` places in `rows`, each the one that adds most to the set by all before it, and what each added.

    Among rows that add the same, the smallest hash wins. The batch is complete also where nothing, or less than
    nothing, is to be gained.

    * ``naive`` asks for every gain at every step.
    * ``lazy``: the gains of a submodular function only fall, so an old gain bounds the present one, and only rows
      whose bound comes before the winner are asked again. The same picks as ``naive``, if gains that fall in theory
      also fall in floating point. Minoux, Optimization Techniques 1978.
    * ``stochastic``: each step looks at ``ceil(n / b * log(1 / epsilon))`` random rows; in expectation at least
      ``1 - 1/e - epsilon`` of the best possible if the function is monotone and submodular. Mirzasoleiman et al.,
      AAAI 2015.
    * ``lazier_than_lazy`` makes the picks of ``stochastic`` with old gains as bounds.

    Args:
        objective: nothing picked yet; for the lazy methods submodular.
        rows: what may be picked, as the objective numbers it.
        ids: what the key's hashes are of, one per row.
        b: ``0 <= b <= len(rows)``.
        key: its hash breaks ties, its children draw the samples.
        method: see above.
        epsilon: of the samples, above 0 and below 1.
    """
    tie_n = key.hash(ids)
    if method == "lazy":
        return _lazily(objective, rows, tie_n, b)
    n = len(rows)
    size = n if method == "naive" else min(n, ceil(n / max(b, 1) * log(1 / epsilon)))
    bound_n, open_ = np.full(n, np.inf), np.arange(n)
    picked, gain = np.empty(b, np.intp), np.empty(b)
    for step in range(b):
        some = open_
        if size < len(open_):
            hash_m = key.child("sample", step).hash(ids[open_])
            some = open_[np.argpartition(hash_m, size - 1)[:size]]
        if method == "lazier_than_lazy":
            place = _best_by_bounds(objective, rows, some, bound_n, tie_n)
        else:
            bound_n[some] = objective.gains(rows[some])
            place = int(some[top_b(bound_n[some], tie_n[some], 1)[0]])
        picked[step], gain[step] = place, bound_n[place]
        open_ = open_[open_ != place]
        if step + 1 < b:
            objective.add(int(rows[place]))
        tell("picking", step + 1, b)
    return picked, gain


def _best_by_bounds(objective: Objective, rows: Rows, some: Rows, bound_n: Array, tie_n: Hashes) -> int:
    """Return which of `some` adds most, renewing as few of the bounds as that takes."""
    order = some[np.lexsort((tie_n[some], -bound_n[some]))]
    best, start, size = -1, 0, 1
    while start < len(order):
        # Everything that was never asked has the bound inf, and there is no use in asking it bit by bit.
        size = max(size, int(np.isinf(bound_n[order[start:]]).sum()))
        part = order[start : start + size]
        bound_n[part] = objective.gains(rows[part])
        for place in part.tolist():
            if best < 0 or (bound_n[place], -int(tie_n[place])) > (bound_n[best], -int(tie_n[best])):
                best = place
        start, size = start + len(part), min(2 * size, AT_ONCE)
        if start < len(order):
            after = order[start]
            if (bound_n[best], -int(tie_n[best])) > (bound_n[after], -int(tie_n[after])):
                break
    return best


def _lazily(objective: Objective, rows: Rows, tie_n: Hashes, b: int) -> tuple[Rows, Array]:
    picked, gain = np.empty(b, np.intp), np.empty(b)
    if not b:
        return picked, gain
    first_n = objective.gains(rows)
    waiting = list(zip((-first_n).tolist(), tie_n.tolist(), range(len(rows)), [0] * len(rows), strict=True))
    heapify(waiting)
    for step in range(b):
        size = 1
        # The top is certain once it is fresh: in the order (bound falling, hash rising) everything else comes later.
        while waiting[0][3] < step:
            stale = []
            while waiting and len(stale) < size and waiting[0][3] < step:
                stale.append(heappop(waiting))
            places = np.array([entry[2] for entry in stale], np.intp)
            for (_, tie, place, _), value in zip(stale, objective.gains(rows[places]).tolist(), strict=True):
                heappush(waiting, (-value, tie, place, step))
            size = min(2 * size, AT_ONCE)
        negated, _, place, _ = heappop(waiting)
        picked[step], gain[step] = place, -negated
        if step + 1 < b:
            objective.add(int(rows[place]))
        tell("picking", step + 1, b)
    return picked, gain
