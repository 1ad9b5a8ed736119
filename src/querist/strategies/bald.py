"""BALD: mutual information between a label and the draw that is right."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register(
    "bald",
    cite="Houlsby et al. 2011, arXiv 1112.5745; Gal, Islam & Ghahramani, ICML 2017",
    presets={"S2": {"k": 25}, "S3": {"k": 25}, "S4": {"k": 10}},
)
@dataclass(frozen=True, kw_only=True)
class Bald(DrawsScoring):
    """Wants the rows whose label would tell most about which draw of the model is right.

    Identity: ``u_i = H(mean_k p^(k)_i) - mean_k H(p^(k)_i)``, in nats, between 0 and ``min(log k, log c)``; exactly 0
    where all draws agree. Rows are scored one by one, so large batches are redundant: see `batch_bald`.

    Use when: the draws come from a good approximate posterior, a net with dropout or an ensemble, and labels are noisy:
    it ignores noise no label would settle.

    Avoid when: the draws are bagged heads on few labels: whole queries went to a few classes in our study, far below
    random.

    Pitfalls: rows are scored one by one, so a batch repeats itself: batch_bald or stochastic(bald) repair that. Too few
    draws bias the score upwards.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    k: int = 25

    def reason(self, utility: float) -> str:
        return f"its label would tell {utility:.3f} nats about which draw of the model is right"

    def score(self, ev: Evidence) -> Array:
        return draws.mutual_information(self.draws(ev))
