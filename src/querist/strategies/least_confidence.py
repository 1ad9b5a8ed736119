"""Least-confidence sampling."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.kernels import scores
from querist.strategies.base import Scoring, register


@register(
    "least_confidence",
    cite="Lewis & Gale, SIGIR 1994; Culotta & McCallum, AAAI 2005",
    aliases=("leastconf",),
    presets={"paper": {}, "S2": {}, "S3": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class LeastConfidence(Scoring):
    """Wants the rows whose most likely class is least likely.

    Identity: ``u_i = 1 - p_(1)``.

    Use when: a model with trustworthy probabilities exists and there are tens of labels per class.

    Avoid when: labels are few: with up to 20 labels per class it was worse than random on CIFAR-10 and no better on UC
    Merced.

    Pitfalls: many rows of a saturated model tie at a probability of 1 and are then drawn at random. Large batches are
    redundant.
    """

    family: ClassVar = "uncertainty"
    regimes: ClassVar = ("M", "H")
    needs: ClassVar = (Probs(),)

    def reason(self, utility: float) -> str:
        return f"its most likely class has a probability of only {1.0 - utility:.3f}"

    def score(self, ev: Evidence) -> Array:
        return scores.least_confidence(ev[Probs()])
