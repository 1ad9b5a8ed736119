"""A learned temperature as a ranking for the first labels."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._traced import Traced
from querist.strategies.base import register


@register("tau_uncertainty", cite="Zhang, Wu, Bai & Huang 2021, arXiv 2110.04403")
@dataclass(frozen=True, kw_only=True)
class TauUncertainty(Traced):
    """Wants the rows to which a contrastive pre-training gave the highest temperatures.

    Identity: a net that learns the temperature of each image together with its embedding raises it where the own other
    view is hard to find: ``tau_i`` is an uncertainty without labels.

    Use when: the encoder was pre-trained with learned temperatures, and unusual images are wanted first.

    Avoid when: the pool holds images of another kind: these have the highest temperatures of all.

    Pitfalls: which end is the uncertain one depends on how the temperature enters; here similarities are divided by it.
    """

    trace: ClassVar = "tau"

    def reason(self, utility: float) -> str:
        return f"its learned temperature is {abs(utility):.3g}"
