"""Facility location mutual information: the pool as far as the query set reaches."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Rows
from querist.kernels.likeness import Likeness
from querist.strategies._information import Facility, MutualInformation, Sets, scaled
from querist.strategies.base import register, require_between


@register(
    "smi_flvmi",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    aliases=("fl1mi",),
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class SmiFlvmi(Facility, MutualInformation):
    """Wants rows that cover the pool, but every row of it only as well as the query set covers it.

    Identity: ``f(A) = sum_(i in V) min(max_(j in A) s_ij, eta max_(q in Q) s_iq)`` over the candidates V; with eta = 1
    it is ``F(A) + F(Q) - F(A u Q)`` for facility location F. Monotone and submodular. ``s = (1 + cos) / 2``.

    Use when: a class is rare and its rows lie in several places: it represents all that is like the query set.

    Avoid when: the pool is large or the query set small: smi_flqmi costs a row of the query set per row, not all pairs.

    Pitfalls: cosines are flat, so every row of the pool has some part in the cap, and much of what is covered is
    nothing like the query; a larger eta loosens the cap until it is facility location.

    Attributes:
        eta: how far beyond the query's own similarity the coverage of a row counts.
    """

    regimes: ClassVar = ("L", "M")
    eta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, float("inf"), "eta")

    def reason(self, utility: float) -> str:
        if utility:
            return f"it covers {utility:.3g} more of what the query set is like"
        return "all that the query set is like is covered, and it lies farthest from what covers it"

    def between(self, likeness: Likeness, sets: Sets, rows: Rows) -> tuple[Array, Array]:
        cap = scaled(likeness, rows, sets.query, self.eta)
        return np.zeros_like(cap), cap
