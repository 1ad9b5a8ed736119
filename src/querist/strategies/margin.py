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
    """

    needs: ClassVar = (Probs(),)
    lowest: ClassVar = -1.0

    def reason(self, utility: float) -> str:
        return f"its two most likely classes are {-utility:.3f} apart"

    def score(self, ev: Evidence) -> Array:
        return scores.margin(ev[Probs()])
