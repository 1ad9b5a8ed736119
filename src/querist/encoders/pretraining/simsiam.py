"""SimSiam: two views of an image predict each other, without negatives."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from querist import extras
from querist.encoders.pretraining.base import Method, register
from querist.nets.bounds import require_within
from querist.nets.twinning import Twinning

if TYPE_CHECKING:
    from querist.nets.tasks.base import Start, Task

PRESETS = {
    "S4": {"epochs": 800, "batch": 512, "blur": 0.5},
    "paper": {"net": "torchvision/resnet50", "epochs": 100, "batch": 512, "hidden": 2048, "blur": 0.5},
}


@register("simsiam", cite="Chen & He, CVPR 2021", presets=PRESETS)
@dataclass(frozen=True, kw_only=True)
class SimSiam(Method, Twinning):
    """Maximises the cosine of the prediction from one view and the projection of the other, whose gradient is stopped.

    ``-(cos(p1, stop z2) + cos(p2, stop z1)) / 2``. The learning rate of backbone and projector falls along a cosine,
    that of the predictor stays. Without negatives small batches do; without the stopped gradient or with a predictor
    that falls behind, all features become alike, which ``feature_std`` shows.

    The preset ``paper`` is for ImageNet at 224 pixels.

    Attributes:
        hidden: width of the projector's hidden layers.
        width: of projections and predictions.
        bottleneck: width of the predictor's hidden layer.
    """

    hidden: int = 512
    width: int = 2048
    bottleneck: int = 512

    def __post_init__(self) -> None:
        Method.__post_init__(self)
        Twinning.__post_init__(self)
        for name in ("hidden", "width", "bottleneck"):
            require_within(name, getattr(self, name), 1, math.inf)

    def task(self, start: "Start") -> "Task":
        """Return backbone, projector and predictor."""
        extras.require("pre-training simsiam", "ssl", "torch", "lightly")
        from querist.nets.tasks.simsiam import SimSiamTask

        return SimSiamTask(start, self, hidden=self.hidden, width=self.width, bottleneck=self.bottleneck)
