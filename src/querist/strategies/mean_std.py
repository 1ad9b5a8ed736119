"""Mean standard deviation of the draws."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import register


@register("mean_std", cite="Kampffmeyer, Salberg & Jenssen, CVPR Workshops 2016")
@dataclass(frozen=True, kw_only=True)
class MeanStd(DrawsScoring):
    """Wants the rows whose class probabilities vary most from draw to draw.

    Identity: ``u_i = mean_c std_k p^(k)_ic``, the standard deviation of the population.

    Use when: draws from a net with dropout or a true ensemble are at hand and a score without logarithms is wanted.

    Avoid when: the draws are bagged heads on few labels: in our study it was far below random, for whole queries went
    to a few classes.

    Pitfalls: it averages over classes, so the more classes there are the smaller and closer together all scores. Few
    draws make it noisy.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")

    def reason(self, utility: float) -> str:
        return f"its class probabilities vary by {utility:.3f} between draws of the model"

    def score(self, ev: Evidence) -> Array:
        return draws.mean_std(self.draws(ev))
