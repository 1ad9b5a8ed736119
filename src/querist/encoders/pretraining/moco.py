"""MoCo v2: tell the key of an image from a queue of keys of earlier batches."""

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
    "paper": {"net": "torchvision/resnet50", "queue": 65_536, "temperature": 0.2, "blur": 0.5},
    "csval_cifar10_lt": {"epochs": 800, "batch": 512, "weight_decay": 5e-4, "queue": 4096, "temperature": 0.1},
    "csval_medmnist": {"batch": 4096, "queue": 65_536, "temperature": 0.2, "blur": 0.5},
}


@register(
    "moco",
    aliases=("moco_v2",),
    cite="He et al., CVPR 2020; Chen, Fan, Girshick & He, arXiv 2003.04297, 2020",
    presets=PRESETS,
)
@dataclass(frozen=True, kw_only=True)
class MoCo(Method, Twinning):
    """Minimises the cross-entropy of picking an image's key among `queue` keys of earlier batches.

    Keys come from a moving average of the net, so a queue of old ones stays consistent, and small batches have many
    negatives. There is no shuffling of batch normalisation, for several devices normalise by the whole batch as one
    does: keys are normalised by the batch of the very images that are looked for, from which a net can learn to cheat a
    little. It keeps the probabilities per image and epoch that `simclr` keeps, among the images of the batch.

    The presets ``csval_`` are those whose dynamics Chen et al. (MIDL 2023) rank first pools by. ``paper`` is for
    ImageNet at 224 pixels.

    Attributes:
        hidden: width of the projector's hidden layer; None for that of the embedding.
        width: of what is compared.
        temperature: of the softmax.
        queue: keys that are kept as negatives.
        inertia: share of the moving average that stays at every update.
        traces: temperatures at which probabilities per image and epoch are kept; none for no such statistic.
    """

    lr: float = 0.03
    hidden: int | None = None
    width: int = 128
    temperature: float = 0.1
    queue: int = 4096
    inertia: float = 0.999
    traces: tuple[float, ...] = (0.1,)

    def __post_init__(self) -> None:
        Method.__post_init__(self)
        Twinning.__post_init__(self)
        require_within("hidden", 1 if self.hidden is None else self.hidden, 1, math.inf)
        require_within("width", self.width, 1, math.inf)
        require_within("queue", self.queue, 1, math.inf)
        require_within("inertia", self.inertia, 0, 1, below=True)
        for name, value in [("temperature", self.temperature), *(("traces", value) for value in self.traces)]:
            require_within(name, value, 0, math.inf, above=True)

    def task(self, start: "Start") -> "Task":
        """Return backbone, projector, their slow copies and the queue."""
        extras.require("pre-training moco", "ssl", "torch", "lightly")
        from querist.nets.tasks.moco import MoCoTask

        return MoCoTask(
            start, self, hidden=self.hidden, width=self.width, temperature=self.temperature, queue=self.queue,
            inertia=self.inertia, temperatures=self.traces,
        )  # fmt: skip
