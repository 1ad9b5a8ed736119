"""Entropy sampling."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.kernels import scores
from querist.strategies.base import Scoring, register


@register(
    "entropy",
    cite="Settles, Active Learning Literature Survey, 2009; Wang & Shang, IJCNN 2014",
    aliases=("uncertainty", "uncertainty_entropy"),
    presets={"paper": {}, "S0": {}, "S1": {}, "S3": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class Entropy(Scoring):
    """Wants the rows whose predicted distribution over classes is widest.

    Identity: ``u_i = H(p_i) = -sum_c p_ic log p_ic``, in nats. Weak with many classes and few labels.
    """

    needs: ClassVar = (Probs(),)

    def reason(self, utility: float) -> str:
        return f"the prediction has an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        return scores.entropy(ev[Probs()])
