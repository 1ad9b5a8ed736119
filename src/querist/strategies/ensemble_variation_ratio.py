"""Variation ratio of the votes of an ensemble."""

from dataclasses import dataclass

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._ensemble import EnsembleScoring
from querist.strategies.base import register


@register(
    "ensemble_variation_ratio",
    cite="Seung, Opper & Sompolinsky, COLT 1992; Beluch et al., CVPR 2018",
    aliases=("ensemble_var_R",),
    presets={"paper": {"k": 5}, "S2": {"k": 3}, "S3": {"k": 3}},
)
@dataclass(frozen=True, kw_only=True)
class EnsembleVariationRatio(EnsembleScoring):
    """Wants the rows where the fewest trained members vote for the most popular class.

    Identity: ``u_i = 1 - max_c votes_ic / k``: `variation_ratio` on members that were each trained on their own. A
    member's vote is shared equally by classes that tie in it.

    Use when: members are trained anyway, for accuracy or calibration: the best committee score of Beluch et al. on
    images.

    Avoid when: training k networks is what the budget cannot bear; dropout draws with mc_entropy cost one.

    Pitfalls: three members leave about three values, so ties decide most of a batch. Members that share data and start
    hardly differ.

    Attributes:
        k: members, at least 2; S2 and S3 train 3, the paper 5.
    """

    def reason(self, utility: float) -> str:
        return f"{utility:.0%} of the members' votes go against its most popular class"

    def score(self, ev: Evidence) -> Array:
        return draws.variation_ratio(self.draws(ev))
