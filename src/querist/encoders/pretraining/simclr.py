"""SimCLR: tell the other view of an image from the views of other images."""

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
    "S3": {"epochs": 500, "batch": 1024, "lr": 0.1, "jitter": 0.8, "hue": 0.2},
    "paper": {
        "net": "torchvision/resnet50", "epochs": 100, "batch": 4096, "optimizer": "lars", "lr": 0.3, "warmup": 0.1,
        "weight_decay": 1e-6, "decay_all": False, "crop": 0.08, "jitter": 0.8, "hue": 0.2, "blur": 0.5, "hidden": 2048,
        "batch_norm": True,
    },
    "scan": {"epochs": 500, "batch": 512, "lr": 0.2},
}  # fmt: skip


@register("simclr", cite="Chen, Kornblith, Norouzi & Hinton, ICML 2020", presets=PRESETS)
@dataclass(frozen=True, kw_only=True)
class SimCLR(Method, Twinning):
    """Minimises NT-Xent: the cross-entropy of picking an image's other view among all other views of the batch.

    ``-log(exp(cos(z_i, z_i') / T) / sum over the 2b - 1 other views of exp(cos / T))``, anchored at either view. Larger
    batches have more negatives and do better.

    It keeps, per epoch, the probability of that pick for every image at `traces`, as ``contrast_prob_T0.1``, and at the
    end the mean loss of every image over `loss_views` pairs of views against at least 512 others, or all there are, as
    ``simclr_loss``: how hard an image is to tell from others. A loss within a batch of one has no negatives and is 0.

    The learning rate grows in proportion to the batch, .2 for 256. The preset ``scan`` is the recipe of Van Gansbeke et
    al. (ECCV 2020), with .4 for 512. ``paper`` is for ImageNet at 224 pixels.

    Attributes:
        hidden: width of the projector's hidden layer; None for that of the embedding.
        width: of what is compared.
        batch_norm: whether the projector normalises its layers by the batch.
        temperature: T.
        traces: temperatures at which probabilities per image and epoch are kept; none for no such statistic.
        loss_views: pairs of views that the loss of every image is the mean of; 0 for no such statistic.
        learned_temperature: whether the net says a temperature for every image, between a quarter of `temperature` and
            four times it, by which the similarities to its views are divided. At the end that of every clean image is
            kept as ``tau``: high for what is hard to tell from others (Zhang, Wu, Bai & Huang, arXiv 2110.04403, 2021;
            the bounds are ours).
    """

    lr: float = 0.2
    hidden: int | None = None
    width: int = 128
    batch_norm: bool = False
    temperature: float = 0.1
    traces: tuple[float, ...] = (0.1,)
    loss_views: int = 10
    learned_temperature: bool = False

    def __post_init__(self) -> None:
        Method.__post_init__(self)
        Twinning.__post_init__(self)
        require_within("hidden", 1 if self.hidden is None else self.hidden, 1, math.inf)
        require_within("width", self.width, 1, math.inf)
        require_within("loss_views", self.loss_views, 0, math.inf)
        for name, value in [("temperature", self.temperature), *(("traces", value) for value in self.traces)]:
            require_within(name, value, 0, math.inf, above=True)

    def task(self, start: "Start") -> "Task":
        """Return backbone and projector."""
        extras.require("pre-training simclr", "ssl", "torch", "lightly")
        from querist.nets.tasks.simclr import SimCLRTask
        from querist.nets.tasks.tau import TauTask

        return (TauTask if self.learned_temperature else SimCLRTask)(
            start, self, hidden=self.hidden, width=self.width, batch_norm=self.batch_norm,
            temperature=self.temperature, temperatures=self.traces, loss_views=self.loss_views,
        )  # fmt: skip
