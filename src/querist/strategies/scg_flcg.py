"""Facility location conditional gain: coverage beyond what the private set covers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Rows
from querist.kernels.likeness import Likeness
from querist.strategies._information import ConditionalGain, Facility, Sets, scaled
from querist.strategies.base import register, require_between


@register(
    "scg_flcg",
    cite="Kothawade et al., NeurIPS 2021; Iyer, Khargoankar, Bilmes & Asanani, ALT 2021",
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class ScgFlcg(Facility, ConditionalGain):
    """Wants rows that cover what the private set does not.

    Identity: ``f(A) = sum_(i in V) max(max_(j in A) s_ij - nu max_(p in P) s_ip, 0)`` over the candidates V; with
    nu = 1 it is ``F(A u P) - F(P)`` for facility location F. On features, with P all that is labelled, it is
    `facility_location`; in the space of gradients it is that of what the model has to learn. Monotone, submodular.

    Use when: the pool repeats itself and what is labelled shall not be bought again.

    Avoid when: little is labelled and a model is poor: its gradients say little then; use facility_location.

    Pitfalls: gradients change with the model, so what was covered once may be open again.

    Attributes:
        nu: how strictly what the private set covers counts as covered; 0 ignores it.
    """

    regimes: ClassVar = ("L", "M")
    nu: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, float("inf"), "nu")

    def reason(self, utility: float) -> str:
        if utility:
            return f"it covers {utility:.3g} that the private set does not"
        return "everything is covered, and it lies farthest from what covers it"

    def between(self, likeness: Likeness, sets: Sets, rows: Rows) -> tuple[Array, Array]:
        return scaled(likeness, rows, sets.private, self.nu), np.ones(len(rows))
