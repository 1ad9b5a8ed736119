"""Graph cut: alike to the pool, and not to one another."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.kernels.likeness import Likeness
from querist.kernels.maximise import maximise
from querist.kernels.set_functions import GraphCut as Cut
from querist.seeds import Key
from querist.strategies._submodular import SimilarityFunction
from querist.strategies.base import register, require_between


@register("graph_cut", cite="Lin & Bilmes, NAACL 2010", presets={"monotone": {"redundancy": 0.5}})
@dataclass(frozen=True, kw_only=True)
class GraphCut(SimilarityFunction):
    """Wants the row that is most like the pool, less what it is like the picks.

    Identity: ``f(A) = sum_(i in V, j in A) s_ij - lambda sum_(i, j in A) s_ij`` over the candidates V, so
    ``gain(x) = S_x - lambda (2 sum_(a in A) s_ax + s_xx)`` with ``S_x = sum_i s_ix`` and ``s = (1 + cos) / 2``.
    Submodular; monotone up to lambda = 1/2. The sums take O(n d), every pick O(n d) at most.

    Use when: the densest part of the pool is wanted, and quickly: it sums similarities without looking at pairs.

    Avoid when: small or remote groups matter: their rows have small sums and come last.

    Pitfalls: on a large pool the sums outweigh the redundancy, and it becomes a ranking by nearness to the mean;
    raise the redundancy with the pool. Above 1/2 the greedy guarantee is gone, and a gain may be negative.

    Attributes:
        redundancy: lambda, how much being like other picks costs; 0 takes the rows with the largest sums.
    """

    regimes: ClassVar = ("VL",)
    redundancy: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, float("inf"), "redundancy")

    def reason(self, utility: float) -> str:
        return f"its similarity to the pool, less that to other picks, is {utility:.3g}"

    def best(self, likeness: Likeness, ids: Ids, b: int, key: Key) -> tuple[Rows, Array]:
        rows = np.arange(len(ids))
        objective = Cut(likeness, likeness.total(rows), self.redundancy, b)
        return maximise(objective, rows, ids, b, key, self.maximiser, self.epsilon)
