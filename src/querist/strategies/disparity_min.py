"""Minimum disparity: picks of which no two are close."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.kernels.farthest_first import farthest_first, nearest_to_mean
from querist.kernels.likeness import Likeness
from querist.seeds import Key
from querist.strategies._submodular import SetFunction
from querist.strategies.base import register


@register("disparity_min", cite="Ravi, Rosenkrantz & Tayi, Operations Research 1994")
@dataclass(frozen=True, kw_only=True)
class DisparityMin(SetFunction):
    """Wants the row whose nearest pick is farthest away.

    Identity: greedy for ``f(A) = min_(i != j in A) |x_i - x_j|`` on unit rows, which reaches at least half of the best
    possible. It is `k_center_greedy` on unit rows if nothing is labelled: what is labelled has no part in it. It is not
    submodular, so it has no maximiser to choose; it is exact.

    Use when: one batch, the first, shall have no two rows alike.

    Avoid when: rows are labelled already; then k_center_greedy keeps away from those too.

    Pitfalls: outliers come first, and with them whatever is mislabelled or broken.

    Attributes:
        start: the first pick: the row nearest to the mean of all, or a random one.
    """

    regimes: ClassVar = ("VL",)
    start: Literal["mean", "random"] = "mean"

    def reason(self, utility: float) -> str:
        return f"it lies {utility:.3g} away from every other pick before it"

    def best(self, likeness: Likeness, ids: Ids, b: int, key: Key) -> tuple[Rows, Array]:
        (x_n_d,) = likeness.factors
        tie_n, open_n = key.hash(ids), np.ones(len(ids), np.bool_)
        first = nearest_to_mean(x_n_d, open_n, tie_n) if self.start == "mean" else int(tie_n.argmin())
        open_n[first] = False
        # The first pick has no distance of its own; it is given that of the second, the disparity of the pair.
        rows, gap = farthest_first(x_n_d, np.array([first]), open_n, tie_n, min(max(b - 1, 1), len(ids) - 1))
        radius = gap[:1] if len(gap) else np.zeros(1)
        return np.append(first, rows)[:b], np.append(radius, gap)[:b]
