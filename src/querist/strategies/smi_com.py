"""Concave over modular: alike to the query set, with diminishing returns on both sides."""

from dataclasses import dataclass
from typing import ClassVar

from querist.kernels.likeness import Likeness
from querist.kernels.maximise import Objective
from querist.kernels.set_functions import Concave, QueryMass
from querist.strategies._information import Greedy, MutualInformation, Sets
from querist.strategies.base import register, require_between


@register(
    "smi_com",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class SmiCom(Greedy, MutualInformation):
    """Wants rows whose similarity goes to query rows that had little of it so far.

    Identity: ``f(A) = eta sum_(j in A) psi(sum_(q in Q) s_jq) + sum_(q in Q) psi(sum_(j in A) s_qj)``, psi concave,
    ``s = (1 + cos) / 2``. Monotone and submodular; with a linear psi and eta = 1 it ranks as `smi_gcmi` does.

    Use when: the query set is in several places and each shall get its share of the batch.

    Avoid when: the query set is one tight group: it ranks as smi_gcmi does then, at a higher cost.

    Pitfalls: cosines are flat, so all query rows gain from every pick, and the shares differ little.

    Attributes:
        eta: weight of being like the query, beside sharing out among its rows.
        concave: psi: ``sqrt(m)``, ``log(1 + m)``, ``m / (1 + m)`` (``inverse``), or ``m`` (``linear``).
    """

    regimes: ClassVar = ("L", "M")
    eta: float = 1.0
    concave: Concave = "sqrt"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, float("inf"), "eta")

    def reason(self, utility: float) -> str:
        return (
            f"it adds {utility:.3g} to what the query set has found"
            if utility
            else "nothing of the query set is left to match"
        )

    def objective(self, likeness: Likeness, sets: Sets, b: int) -> Objective:
        return QueryMass(likeness, sets.query, self.eta, self.concave)
