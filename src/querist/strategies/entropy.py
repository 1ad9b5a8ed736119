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

    Use when: classes are few, the model is well calibrated and there are tens of labels per class.

    Avoid when: labels are few or classes are many: it was significantly below random on digits, Fashion-MNIST, CIFAR-10
    and UC Merced with up to 20 labels per class.

    Pitfalls: mass spread over unlikely classes raises it as much as a tie of the two likeliest, so it prefers rows that
    are odd in every respect. Outliers go first.
    """

    family: ClassVar = "uncertainty"
    regimes: ClassVar = ("M", "H")
    needs: ClassVar = (Probs(),)

    def reason(self, utility: float) -> str:
        return f"the prediction has an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        return scores.entropy(ev[Probs()])
