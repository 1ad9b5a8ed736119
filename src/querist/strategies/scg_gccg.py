"""Graph cut conditional gain: alike to the pool, and neither to the private set nor to one another."""

from dataclasses import dataclass
from typing import ClassVar

from querist.kernels.likeness import Likeness
from querist.kernels.maximise import Objective
from querist.kernels.set_functions import GraphCut
from querist.strategies._information import ConditionalGain, Greedy, Sets
from querist.strategies.base import register, require_between


@register(
    "scg_gccg",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class ScgGccg(Greedy, ConditionalGain):
    """Wants the row that is most like the pool, less what it is like the private set and the picks.

    Identity: ``f(A) = F(A) - 2 lambda nu sum_(j in A, p in P) s_jp`` for graph cut F over the candidates, its
    redundancy lambda; with nu = 1 it is ``F(A u P) - F(P)``. Submodular; sums take O(n d), every pick at most as much.

    Use when: the dense part of the pool is wanted that is not labelled yet, quickly.

    Avoid when: small groups matter: their rows have small sums and come last.

    Pitfalls: on a large pool the sums outweigh both penalties; raise nu with the pool's size, as far as it takes.

    Attributes:
        nu: how much being like the private set costs, beside being like picks.
        redundancy: lambda, how much being like other picks costs.
    """

    regimes: ClassVar = ("L", "M")
    nu: float = 1.0
    redundancy: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, float("inf"), "nu", "redundancy")

    def reason(self, utility: float) -> str:
        return f"its similarity to the pool, less that to the private set and other picks, is {utility:.3g}"

    def objective(self, likeness: Likeness, sets: Sets, b: int) -> Objective:
        shared_N = 2.0 * self.redundancy * self.nu * likeness.total(sets.private)
        return GraphCut(likeness, likeness.total(sets.candidates) - shared_N, self.redundancy, b)
