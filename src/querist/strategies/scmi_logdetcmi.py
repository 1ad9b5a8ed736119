"""Log-determinant conditional mutual information: what the query set explains and the private one does not."""

from dataclasses import dataclass
from typing import ClassVar

from querist.kernels.likeness import Likeness
from querist.kernels.log_det import Difference, LogDet
from querist.kernels.maximise import Method, Objective
from querist.strategies._information import ConditionalMutualInformation, Greedy, Sets
from querist.strategies.base import register, require_between
from querist.strategies.log_det import LEAST


@register(
    "scmi_logdetcmi",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class ScmiLogdetcmi(Greedy, ConditionalMutualInformation):
    """Wants rows about which the query set says most that the private set does not say already.

    Identity: with eta = nu = 1 ``f(A) = F(A u P) + F(Q u P) - F(A u Q u P) - F(P)`` for ``F = logdet(S + ridge * I)``,
    ``s = (1 + cos) / 2``. The gain is the logarithm of the pivot of a row after P and the picks, less that after P, Q
    and the picks. Not submodular in general, so no lazy maximiser may be used. Similarities to Q are taken times eta,
    those to P times nu, and those between Q and P times both, which keeps the matrix positive definite.

    Use when: some labelled classes are wanted, others not, and the query set is small and varied.

    Avoid when: the pool is large or much is labelled: every row keeps a number per private row and per pick.

    Pitfalls: without private rows it is smi_logdetmi. Where the private set explains a row, its gain is near 0
    whatever the query set says, so rows unlike everything may win.

    Attributes:
        eta: how much similarities to the query set count, 0 to 1.
        nu: how much similarities to the private set count, 0 to 1.
        ridge: what is added to the similarity of a row to itself.
        maximiser: ``naive``, or ``stochastic``, which looks at random rows in each step.
    """

    regimes: ClassVar = ("L", "M")
    submodular: ClassVar = False
    maximiser: Method = "naive"
    eta: float = 1.0
    nu: float = 1.0
    ridge: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, 1.0, "eta", "nu")
        require_between(self, LEAST, float("inf"), "ridge")

    def reason(self, utility: float) -> str:
        if utility:
            return f"the query set explains {utility:.3g} of its logarithmic variance beyond the private set"
        return "the query set says nothing of it beyond the private set"

    def objective(self, likeness: Likeness, sets: Sets, b: int) -> Objective:
        private = (sets.private, self.nu)
        alone = LogDet(likeness, self.ridge, b, [private])
        return Difference(alone, LogDet(likeness, self.ridge, b, [private, (sets.query, self.eta)]))
