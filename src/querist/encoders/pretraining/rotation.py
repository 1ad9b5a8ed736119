"""Rotation: tell by how many quarter turns an image was rotated."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from querist import extras
from querist.encoders.pretraining.base import Method, register
from querist.nets.augmenting import Augmenting

if TYPE_CHECKING:
    from querist.nets.tasks.base import Start, Task

PRESETS = {
    "S3": {
        "net": "vgg16_bn", "epochs": 200, "batch": 128, "lr": 0.2, "schedule": "multistep",
        "milestones": [0.3, 0.6, 0.8], "gamma": 0.2,
    },
}  # fmt: skip


@register("rotation", cite="Gidaris, Singh & Komodakis, ICLR 2018", presets=PRESETS)
@dataclass(frozen=True, kw_only=True)
class Rotation(Method):
    """Minimises the cross-entropy of telling apart the rotations of an image by 0, 90, 180 and 270 degrees.

    Each image of a batch is seen in all four rotations, so an update costs four times its `batch`. Rotations are made
    on the device, as they are needed. At the end it keeps the mean loss of every clean image over its four rotations,
    each exactly once, as ``rotation_loss``; log 4 = 1.386 for a net that knows nothing.

    The task means nothing where images have no upper side, as those of satellites and microscopes: every such image is
    its own rotation, the loss stays near log 4, and a ranking by it is noise. Images have to be square.

    Attributes:
        crop: how far a random crop may be off, as a share of the side, beyond the border by reflection; 0 for none.
        flip: whether half of the images are mirrored left to right before they are rotated. Switch it off for digits,
            letters and whatever else is another thing in the mirror.
    """

    batch: int = 128
    lr: float = 0.2
    weight_decay: float = 5e-4
    crop: float = 0.125
    flip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._augmenting()

    def task(self, start: "Start") -> "Task":
        """Return backbone and head.

        Raises:
            DataError: images are not square.
        """
        extras.require("pre-training rotation", "deep", "torch")
        from querist.nets.tasks.rotation import RotationTask

        return RotationTask(start, self._augmenting())

    def _augmenting(self) -> Augmenting:
        return Augmenting(crop=self.crop, flip=self.flip)
