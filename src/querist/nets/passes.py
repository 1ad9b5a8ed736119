"""Settings of a training that passes over a pool several times, and its learning rate; without torch."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from querist.errors import SpecError
from querist.nets.bounds import require_within
from querist.nets.steps import Steps

REFERENCE_BATCH = 256
"""Images of the batch for which the learning rate is given."""


@dataclass(frozen=True, kw_only=True)
class Passes(Steps):
    """So many epochs, each a permutation of all images, cut into batches as equal as can be, none larger than `batch`.

    The schedule is a function of the update. ``scaled`` says whether the learning rate grows with the batch, as it does
    for stochastic gradient descent: then `lr` is that of a batch of 256, and the rate is ``lr * batch / 256`` (Goyal et
    al., arXiv 1706.02677, 2017).

    Attributes:
        epochs: passes over the pool.
        batch: images of an update.
        lr: the highest learning rate, of a batch of 256 where the method is ``scaled``.
        precision: of training on a graphics card: ``mixed`` (bfloat16 where the chip has it) or ``float32``.
    """

    scaled: ClassVar[bool] = True

    epochs: int = 200
    batch: int = 256
    lr: float = 0.05
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_all: bool = True
    warmup: float = 0.0
    precision: Literal["mixed", "float32"] = "mixed"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within("epochs", self.epochs, 1, math.inf)
        require_within("batch", self.batch, 2, math.inf, "batch normalisation has no variance of a single image")
        if self.backbone_lr is not None:
            raise SpecError("backbone_lr belongs to learners with a head: a pre-training trains the backbone with lr.")

    @property
    def peak(self) -> float:
        """The highest learning rate, of the batch that is set."""
        return self.lr * self._scale

    def rate(self, update: int, horizon: int) -> float:
        """Return the learning rate of an update, counted from 0, of the batch that is set."""
        return super().rate(update, horizon) * self._scale

    def size(self, epoch: int) -> int:
        """Return the largest number of images of an update of an epoch, counted from 0."""
        return self.batch

    @property
    def _scale(self) -> float:
        return self.batch / REFERENCE_BATCH if self.scaled else 1.0
