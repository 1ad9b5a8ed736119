"""Mean standard deviation of the draws."""

from dataclasses import dataclass

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
    """

    def reason(self, utility: float) -> str:
        return f"its class probabilities vary by {utility:.3f} between draws of the model"

    def score(self, ev: Evidence) -> Array:
        return draws.mean_std(self.draws(ev))
