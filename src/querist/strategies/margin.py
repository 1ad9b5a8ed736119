"""Margin sampling."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.kernels import scores
from querist.strategies.base import Scoring, register


@register("margin", cite="Scheffer, Decomain & Wrobel, IDA 2001", presets={"paper": {}, "S3": {}, "S4": {}})
@dataclass(frozen=True, kw_only=True)
class Margin(Scoring):
    """Wants the rows whose two most likely classes are closest.

    Identity: ``u_i = -(p_(1) - p_(2))``.

    Use when: there are tens of labels per class; it is the safest single score, needs one pass and no setting.

    Avoid when: there are fewer labels than about four per class, or batches are large compared with the labelled set.

    Pitfalls: neighbours on one stretch of a boundary are all picked together; mix with stochastic or cluster_margin.
    Label noise near boundaries is bought first.
    """

    family: ClassVar = "uncertainty"
    regimes: ClassVar = ("M", "H")
    needs: ClassVar = (Probs(),)
    lowest: ClassVar = -1.0

    def reason(self, utility: float) -> str:
        return f"its two most likely classes are {abs(utility):.3f} apart"

    def score(self, ev: Evidence) -> Array:
        return scores.margin(ev[Probs()])
