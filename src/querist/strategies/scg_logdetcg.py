"""Log-determinant conditional gain: what the private set leaves unexplained."""

from dataclasses import dataclass
from typing import ClassVar

from querist.kernels.likeness import Likeness
from querist.kernels.log_det import LogDet
from querist.kernels.maximise import Objective
from querist.strategies._information import ConditionalGain, Greedy, Sets
from querist.strategies.base import register, require_between
from querist.strategies.log_det import LEAST


@register(
    "scg_logdetcg",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class ScgLogdetcg(Greedy, ConditionalGain):
    """Wants the row that the private set and the picks explain least, as a Gaussian process would say.

    Identity: ``f(A) = logdet(K_A - nu^2 K_AP K_P^-1 K_PA)``, ``K = S + ridge * I``, ``s = (1 + cos) / 2``; with nu = 1
    it is ``F(A u P) - F(P)`` for the log-determinant F. Submodular. It goes on with the Cholesky factorisation of P.

    Use when: rows shall differ from what is labelled in every direction, with less taste for outliers than k-center.

    Avoid when: many thousands of rows are labelled: time grows with their square for every row of the pool.

    Pitfalls: with a small ridge gains turn negative once all directions are taken, and rounding chooses.

    Attributes:
        nu: how much similarities to the private set count, 0 to 1; beyond, the matrix may not be positive definite.
        ridge: what is added to the similarity of a row to itself.
    """

    regimes: ClassVar = ("L", "M")
    nu: float = 1.0
    ridge: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, 1.0, "nu")
        require_between(self, LEAST, float("inf"), "ridge")

    def reason(self, utility: float) -> str:
        return f"the logarithm of what the private set and other picks leave unexplained of it is {utility:.3g}"

    def objective(self, likeness: Likeness, sets: Sets, b: int) -> Objective:
        return LogDet(likeness, self.ridge, b, [(sets.private, self.nu)])
