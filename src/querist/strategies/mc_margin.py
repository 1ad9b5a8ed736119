"""Margin of the mean of the draws."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws, scores
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register(
    "mc_margin",
    cite="Scheffer, Decomain & Wrobel, IDA 2001, on draws as in Gal, Islam & Ghahramani, ICML 2017; "
    "Ueno et al. 2023, arXiv 2312.05751",
    presets={"S4": {"k": 10}},
)
@dataclass(frozen=True, kw_only=True)
class McMargin(DrawsScoring):
    """Wants the rows whose two most likely classes, averaged over draws, are closest.

    Identity: ``u_i = -(q_(1) - q_(2))`` with ``q = mean_k p^(k)_i``; probabilities are averaged, not logits. Draws that
    are all the same give `margin`.

    Use when: there are tens of labels per class and draws come at little cost: margin with a steadier prediction.

    Avoid when: there are fewer labels than about four per class, or batches are large compared with the labelled set.

    Pitfalls: two draws sure of different classes and two undecided draws look the same. Neighbours on one stretch of a
    boundary are picked together.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    lowest: ClassVar = -1.0
    k: int = 10

    def reason(self, utility: float) -> str:
        return f"on the average of the draws its two most likely classes are {abs(utility):.3f} apart"

    def score(self, ev: Evidence) -> Array:
        return scores.margin(draws.mean_of_draws(self.draws(ev)))
