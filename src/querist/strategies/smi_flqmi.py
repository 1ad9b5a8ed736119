"""Facility location between picks and the query set alone."""

from dataclasses import dataclass
from typing import ClassVar

from querist.kernels.likeness import Likeness
from querist.kernels.maximise import Objective
from querist.kernels.set_functions import QueryCover
from querist.strategies._information import Greedy, MutualInformation, Sets
from querist.strategies.base import register, require_between


@register(
    "smi_flqmi",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    aliases=("fl2mi",),
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class SmiFlqmi(Greedy, MutualInformation):
    """Wants rows that cover the query set, and are like it.

    Identity: ``f(A) = sum_(q in Q) max_(j in A) s_qj + eta sum_(j in A) max_(q in Q) s_jq``, ``s = (1 + cos) / 2``;
    monotone and submodular. Only similarities to the query set are looked at, O(n |Q| d).

    Use when: a few labelled rows of a rare class are there and more of it is wanted: the cheapest rule that also
    spreads over the query set.

    Avoid when: no class is rare: the query set is then those with the fewest labels by chance.

    Pitfalls: once every query row has a near pick, only likeness counts, and near-copies of one another are picked;
    with one query row that is so from the start. It never looks for classes that nobody has seen.

    Attributes:
        eta: how much being like the query counts, beside covering it.
    """

    regimes: ClassVar = ("L", "M")
    eta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, float("inf"), "eta")

    def reason(self, utility: float) -> str:
        return (
            f"it adds {utility:.3g} to how well the query set is matched"
            if utility
            else "nothing of the query set is left to match"
        )

    def objective(self, likeness: Likeness, sets: Sets, b: int) -> Objective:
        return QueryCover(likeness, sets.query, self.eta)
