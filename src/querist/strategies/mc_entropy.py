"""Entropy of the mean of the draws."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register(
    "mc_entropy",
    cite="Gal, Islam & Ghahramani, ICML 2017",
    aliases=("dbal",),
    presets={"S2": {"k": 25}, "S3": {"k": 25}, "S4": {"k": 10}},
)
@dataclass(frozen=True, kw_only=True)
class McEntropy(DrawsScoring):
    """Wants the rows whose distribution over classes, averaged over draws, is widest.

    Identity: ``u_i = H(mean_k p^(k)_i)`` in nats; probabilities are averaged, not logits. It counts what no label would
    settle (all draws undecided) as much as what one would (draws that disagree); `bald` counts the second alone.

    Use when: a net with dropout or an ensemble is at hand: its averaged probabilities are better calibrated than those
    of one pass.

    Avoid when: labels are few: with bagged heads and up to 20 labels per class it was worse than random on both sets of
    our study. It also wants rows whose doubt no label would settle.

    Pitfalls: averaging must be over probabilities and in evaluation mode apart from the dropout. Large batches are
    redundant.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    k: int = 25

    def reason(self, utility: float) -> str:
        return f"the mean prediction of the draws has an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        return draws.entropy_of_mean(self.draws(ev))
