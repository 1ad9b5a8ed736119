"""Facility location conditional mutual information: what is like the query set and unlike the private one."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array, Rows
from querist.kernels.likeness import Likeness
from querist.strategies._information import ConditionalMutualInformation, Facility, Sets, scaled
from querist.strategies.base import register, require_between


@register(
    "scmi_flcmi",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class ScmiFlcmi(Facility, ConditionalMutualInformation):
    """Wants rows that cover what is nearer to the query set than to the private one.

    Identity: ``f(A) = sum_(i in V) max(min(max_(j in A) s_ij, eta max_(q in Q) s_iq) - nu max_(p in P) s_ip, 0)`` over
    the candidates V; with eta = nu = 1 it is ``F(A u P) + F(Q u P) - F(A u Q u P) - F(P)`` for facility location F.
    Monotone and submodular.

    Use when: some labelled classes are wanted and others are not, as where the pool holds rows of no interest: query
    the first, make the others private.

    Avoid when: query and private rows are mixed: hardly a row is nearer to the one than to the other then.

    Pitfalls: rows nearer to the private set count for nothing; if there are no others, the batch is farthest-first.

    Attributes:
        eta: how far beyond the query's own similarity the coverage of a row counts.
        nu: how strictly the private set takes rows away; 0 ignores it.
    """

    regimes: ClassVar = ("L", "M")
    eta: float = 1.0
    nu: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, float("inf"), "eta", "nu")

    def reason(self, utility: float) -> str:
        if utility:
            return f"it covers {utility:.3g} more of what is nearer to the query set than to the private one"
        return "all that is nearer to the query set is covered, and it lies farthest from what covers it"

    def between(self, likeness: Likeness, sets: Sets, rows: Rows) -> tuple[Array, Array]:
        floor = scaled(likeness, rows, sets.private, self.nu)
        return floor, scaled(likeness, rows, sets.query, self.eta)
