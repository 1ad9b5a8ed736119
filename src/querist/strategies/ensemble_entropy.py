"""Entropy of the mean prediction of an ensemble."""

from dataclasses import dataclass

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.kernels import draws
from querist.strategies._ensemble import EnsembleScoring
from querist.strategies.base import register


@register(
    "ensemble_entropy",
    cite="Seung, Opper & Sompolinsky, COLT 1992; Beluch et al., CVPR 2018",
    presets={"paper": {"k": 5}, "S2": {"k": 3}},
)
@dataclass(frozen=True, kw_only=True)
class EnsembleEntropy(EnsembleScoring):
    """Wants the rows whose distribution over classes, averaged over trained members, is widest.

    Identity: ``u_i = H(mean_k p^(k)_i)`` in nats: `mc_entropy` on members that were each trained on their own.

    Use when: members are trained anyway and there are tens of labels per class: their mean is well calibrated.

    Avoid when: there are many classes and few labels: the mean is wide nearly everywhere.

    Pitfalls: rows that are ambiguous by nature look as good as rows the members disagree about.

    Attributes:
        k: members, at least 2; S2 trains 3, the paper 5.
    """

    def reason(self, utility: float) -> str:
        return f"the mean prediction of the members has an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        return draws.entropy_of_mean(self.draws(ev))
