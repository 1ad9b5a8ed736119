"""SimCLR's loss as a ranking for the first labels."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._traced import Traced
from querist.strategies.base import register


@register(
    "simclr_loss",
    cite="Chandra et al. 2020, arXiv 2011.14696; loss: Chen et al., ICML 2020",
    presets={"S3": {"order": "descending"}},
)
@dataclass(frozen=True, kw_only=True)
class SimclrLoss(Traced):
    """Wants the rows that the pre-training by SimCLR found hardest to tell from others.

    Identity: the mean over seeded views of ``-log softmax`` of the similarity to the row's own other view, among those
    to real negatives. The published pools were taken with no negatives at all, so that every loss was 0 and the pools
    were random ones.

    Use when: you compare first pools by a loss of pre-training with others; it is kept for that.

    Avoid when: the first labels shall be typical: the top of a loss is full of odd, broken and repeated images.

    Pitfalls: near-copies are each other's negatives and rank high. A class may be missed altogether; balance it with
    `cluster_balanced_top`.
    """

    trace: ClassVar = "simclr_loss"

    def reason(self, utility: float) -> str:
        return f"its contrastive loss after pre-training is {abs(utility):.3g}"
