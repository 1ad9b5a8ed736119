"""Variation ratio of the votes."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register(
    "variation_ratio",
    cite="Freeman, Elementary Applied Statistics, 1965; Beluch et al., CVPR 2018",
    presets={"paper": {"k": 5}, "S2": {"k": 3}, "S3": {"k": 3}},
)
@dataclass(frozen=True, kw_only=True)
class VariationRatio(DrawsScoring):
    """Wants the rows where the fewest draws vote for the most popular class.

    Identity: ``u_i = 1 - max_c votes_ic / k``, one vote per draw for its most likely class. Classes that tie inside a
    draw share its vote equally, so that the score depends neither on the order of classes nor on a coin. Only about k
    values exist, so the keyed hash decides much; more draws leave it less to decide.

    Use when: an ensemble of trained nets is at hand; it uses votes alone, so badly calibrated members do no harm.

    Avoid when: there are fewer than about five draws, or whole large batches are chosen by it: most rows tie.

    Pitfalls: only as many different scores exist as there are draws, so ties decide much of a batch. Many libraries
    call least confidence by this name.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    k: int = 5

    def reason(self, utility: float) -> str:
        return f"{utility:.0%} of the votes go against its most popular class"

    def score(self, ev: Evidence) -> Array:
        return draws.variation_ratio(self.draws(ev))
