"""The loss of a variational autoencoder as a ranking for the first labels."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._traced import Traced
from querist.strategies.base import register


@register(
    "vae_loss",
    cite="Chandra et al. 2020, arXiv 2011.14696; loss: Kingma & Welling, ICLR 2014",
    presets={"S3": {"order": "descending"}},
)
@dataclass(frozen=True, kw_only=True)
class VaeLoss(Traced):
    """Wants the rows that a variational autoencoder of the pool reconstructs worst.

    Identity: ``|x - decode(mu)|^2 / pixels + weight * KL``, with the mean of the posterior and no draw of it, and the
    weight that the training had.

    Use when: you compare first pools by a loss of pre-training with others; it is kept for that.

    Avoid when: images differ in contrast or in fine texture: squared error ranks those, not what is in them.

    Pitfalls: outliers and broken images come first. A class of simple images may be missed altogether.
    """

    trace: ClassVar = "vae_loss"

    def reason(self, utility: float) -> str:
        return f"its loss in an autoencoder of the pool is {abs(utility):.3g}"
