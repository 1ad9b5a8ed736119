"""A head on a frozen backbone, trained on augmented views."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.errors import SpecError
from querist.learners.base import register
from querist.learners.pretrained import PretrainedLearner

S0: dict[str, Any] = {
    "unit": True, "resize": False, "epochs": 100, "batch": 128, "optimizer": "adam", "lr": 1e-2, "weight_decay": 0.0,
    "schedule": "multistep", "milestones": (0.5, 0.75), "gamma": 0.1, "warmup": 0.0, "crop": 0.125, "flip": True,
}  # fmt: skip
"""Pourahmadi et al. 2021, arXiv 2110.12033: the head that results are reported with. Its script's defaults are others.

Their random resized crops are plain crops here.
"""

S0_ENTROPY: dict[str, Any] = S0 | {"unit": False, "lr": 1e-3}
"""The head that their entropy sampling selects with: another rate, and embeddings as they are. An arm that selects with
one and reports the other compares two learners; this one is the same in both."""


@register(
    "linear_aug",
    cite="Pourahmadi et al., arXiv 2110.12033, 2021",
    presets={"s0-linear": S0, "s0-entropy": S0_ENTROPY},
)
@dataclass(frozen=True, kw_only=True)
class LinearAug(PretrainedLearner):
    """Trains a linear head on augmented views of the labelled images, seen by a frozen backbone.

    The backbone is in evaluation mode throughout: neither its weights nor its batch statistics change. A new head is
    drawn at every fit. The learner ``linear`` on features of the same backbone finds the optimum for clean images in
    milliseconds; this one is for what augmentation adds, and for results published so.

    Attributes:
        init: folder of the backbone, as ``querist pretrain`` writes it; ``~`` and ``$VARIABLES`` are resolved. Results
            record its content, not its place.
        resize: whether images are resized to those it was trained on; else they are taken as they are.
        unit: whether the head sees embeddings divided by their length.
    """

    frozen: ClassVar[bool] = True
    unit: bool = True
    optimizer: Literal["sgd", "adam", "adamw", "lars"] = "adam"
    lr: float = 0.01
    weight_decay: float = 0.0
    warmup: float = 0.0
    batch: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_norm == "train":
            raise SpecError("batch_norm = 'train' changes a backbone that is to be frozen; leave it at 'auto'.")
        if self.backbone_lr is not None:
            raise SpecError("backbone_lr is for a backbone that is trained, and this one is frozen; use 'finetune'.")
