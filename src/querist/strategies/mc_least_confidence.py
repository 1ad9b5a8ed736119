"""Least confidence of the mean of the draws."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws, scores
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register(
    "mc_least_confidence",
    cite="Lewis & Gale, SIGIR 1994, on draws as in Gal, Islam & Ghahramani, ICML 2017; "
    "Ueno et al. 2023, arXiv 2312.05751",
    presets={"S4": {"k": 10}},
)
@dataclass(frozen=True, kw_only=True)
class McLeastConfidence(DrawsScoring):
    """Wants the rows whose most likely class, averaged over draws, is least probable.

    Identity: ``u_i = 1 - max_c mean_k p^(k)_ic``; probabilities are averaged, not logits. Draws that are all the same
    give `least_confidence`.

    Use when: draws come at little cost, from dropout or a committee, and a single model is overconfident: their mean is
    better calibrated.

    Avoid when: there are few labels and many classes, where the top class of the mean is mostly noise.

    Pitfalls: it counts noise that no label would settle as much as disagreement; bald counts the second alone.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    k: int = 10

    def reason(self, utility: float) -> str:
        return f"the draws on average give its most likely class a probability of {1 - utility:.3f}"

    def score(self, ev: Evidence) -> Array:
        return scores.least_confidence(draws.mean_of_draws(self.draws(ev)))
