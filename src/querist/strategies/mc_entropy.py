"""Entropy of the mean of the draws."""

from dataclasses import dataclass

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

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    k: int = 25

    def reason(self, utility: float) -> str:
        return f"the mean prediction of the draws has an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        return draws.entropy_of_mean(self.draws(ev))
