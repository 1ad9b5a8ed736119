"""Log-determinant mutual information: what picks and the query set explain of one another."""

from dataclasses import dataclass
from typing import ClassVar

from querist.kernels.likeness import Likeness
from querist.kernels.log_det import Difference, LogDet
from querist.kernels.maximise import Method, Objective
from querist.strategies._information import Greedy, MutualInformation, Sets
from querist.strategies.base import register, require_between
from querist.strategies.log_det import LEAST


@register(
    "smi_logdetmi",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class SmiLogdetmi(Greedy, MutualInformation):
    """Wants rows about which the query set says most, as a Gaussian process would say.

    Identity: ``f(A) = logdet K_A - logdet(K_A - eta^2 K_AQ K_Q^-1 K_QA)`` with ``K = S + ridge * I`` and
    ``s = (1 + cos) / 2``. With eta = 1 it is ``F(A) + F(Q) - F(A u Q)`` for the log-determinant F. Gains are
    differences of two pivots of incremental Cholesky factorisations. It need not be submodular, so no lazy maximiser
    may be used.

    Use when: the query set is small and its rows differ: rows are wanted that say something new about it.

    Avoid when: the pool is large: every pick meets every row, and memory is n numbers per pick, twice.

    Pitfalls: as all similarities are above 0, rows that say little of the query gain nearly as much as others; a
    ridge below 1 sharpens the difference and makes near-copies of query rows most wanted.

    Attributes:
        eta: how much similarities to the query set count, 0 to 1; above that the matrix might not be positive definite.
        ridge: what is added to the similarity of a row to itself.
        maximiser: ``naive``, or ``stochastic``, which looks at random rows in each step.
    """

    regimes: ClassVar = ("L", "M")
    submodular: ClassVar = False
    maximiser: Method = "naive"
    eta: float = 1.0
    ridge: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, 1.0, "eta")
        require_between(self, LEAST, float("inf"), "ridge")

    def reason(self, utility: float) -> str:
        return (
            f"the query set explains {utility:.3g} of its logarithmic variance"
            if utility
            else "the query set says nothing of it"
        )

    def objective(self, likeness: Likeness, sets: Sets, b: int) -> Objective:
        alone = LogDet(likeness, self.ridge, b)
        return Difference(alone, LogDet(likeness, self.ridge, b, [(sets.query, self.eta)]))
