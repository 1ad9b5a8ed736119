"""Mean divergence of the draws from their consensus."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register("consensus_kl", cite="McCallum & Nigam, ICML 1998", presets={"paper": {"k": 5}})
@dataclass(frozen=True, kw_only=True)
class ConsensusKl(DrawsScoring):
    """Wants the rows where the draws are farthest from their mean.

    Identity: ``u_i = mean_k KL(p^(k)_i || mean_k p^(k)_i)`` in nats. On the same draws this is `bald`, under the name
    and with the small committee of query by committee.

    Use when: a small committee of genuinely different models is at hand, as in query by committee.

    Avoid when: you run bald already, for on the same draws the scores are the same; or the committee is bagged heads on
    few labels, where it was far below random in our study.

    Pitfalls: members that never saw a class say 0 to it and blow disagreement up. Large batches are redundant.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    k: int = 5

    def reason(self, utility: float) -> str:
        return f"the draws are {utility:.3f} nats away from their consensus"

    def score(self, ev: Evidence) -> Array:
        return draws.mean_divergence(self.draws(ev))
