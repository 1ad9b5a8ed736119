"""Sum of disparities: picks that are far from one another on average."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.kernels.farthest_first import nearest_to_mean
from querist.kernels.likeness import Likeness
from querist.kernels.maximise import Method, maximise
from querist.kernels.set_functions import DistanceSum
from querist.seeds import Key
from querist.strategies._submodular import SetFunction, refuse_lazy, require_epsilon
from querist.strategies.base import register


@register("disparity_sum", cite="Ravi, Rosenkrantz & Tayi, Operations Research 1994")
@dataclass(frozen=True, kw_only=True)
class DisparitySum(SetFunction):
    """Wants the row with the largest sum of distances to the picks.

    Identity: greedy for ``f(A) = sum_(i < j in A) |x_i - x_j|`` on unit rows; ``gain(x) = sum_(a in A) |x - x_a|``.
    It is supermodular: gains grow, so no lazy maximiser may be used.

    Use when: the extremes of the pool are wanted, or as a contrast to what represents it.

    Avoid when: the batch shall cover the pool: it takes from the rim, and from both ends of it again and again.

    Pitfalls: two picks may be nearly the same row, for their distances to all others count twice then.

    Attributes:
        start: the first pick: the row nearest to the mean of all, or a random one.
        maximiser: ``naive``, or ``stochastic``, which looks at random rows in each step.
        epsilon: of the random rows there are ``n / b * log(1 / epsilon)``.
    """

    regimes: ClassVar = ("VL",)
    start: Literal["mean", "random"] = "mean"
    maximiser: Method = "naive"
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        require_epsilon(self.epsilon)
        refuse_lazy("disparity_sum", self.maximiser)

    def reason(self, utility: float) -> str:
        return f"its distances to the picks before it add up to {utility:.3g}"

    def best(self, likeness: Likeness, ids: Ids, b: int, key: Key) -> tuple[Rows, Array]:
        (x_n_d,) = likeness.factors
        tie_n, every = key.hash(ids), np.arange(len(ids))
        first = nearest_to_mean(x_n_d, every >= 0, tie_n) if self.start == "mean" else int(tie_n.argmin())
        objective, rest = DistanceSum(x_n_d), np.delete(every, first)
        objective.add(first)
        places, gain = maximise(objective, rest, ids[rest], b - 1, key, self.maximiser, self.epsilon)
        return np.append(first, rest[places]), np.append(0.0, gain)
