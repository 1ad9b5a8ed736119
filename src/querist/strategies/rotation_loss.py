"""The loss of telling rotations apart as a ranking for the first labels."""

from dataclasses import dataclass
from typing import ClassVar

from querist.strategies._traced import Traced
from querist.strategies.base import register


@register(
    "rotation_loss",
    cite="Gidaris, Singh & Komodakis, ICLR 2018; as a first pool: Chandra et al. 2020, arXiv 2011.14696",
    presets={"S3": {"order": "descending"}},
)
@dataclass(frozen=True, kw_only=True)
class RotationLoss(Traced):
    """Wants the rows whose rotation by 0, 90, 180 or 270 degrees a net of the pool cannot tell.

    Identity: the mean cross-entropy over the four rotations; log 4 = 1.386 for a net that knows nothing.

    Use when: objects have an upper side, and you compare first pools by a loss of pre-training.

    Avoid when: images look the same from all sides, as aerial and microscope images do: the task means nothing there.

    Pitfalls: objects that are round or symmetric dominate the top.
    """

    trace: ClassVar = "rotation_loss"

    def reason(self, utility: float) -> str:
        return f"the loss of telling its rotations apart is {abs(utility):.3g}"
