"""A pre-trained backbone and a new head, trained together at two learning rates."""

from dataclasses import dataclass
from typing import Any, Literal

from querist.learners.base import register
from querist.learners.pretrained import PretrainedLearner
from querist.learners.scratch import S1, S4

S0: dict[str, Any] = {
    "unit": True, "resize": False, "epochs": 100, "batch": 128, "optimizer": "adam", "lr": 1e-2, "backbone_lr": 1e-4,
    "weight_decay": 0.0, "schedule": "multistep", "milestones": (0.5, 0.75), "gamma": 0.1, "warmup": 0.0,
    "batch_norm": "train", "crop": 0.125, "flip": True,
}  # fmt: skip
"""Pourahmadi et al. 2021, arXiv 2110.12033: a head on unit rows, two rates, batch statistics of the few labels.

Taken: all of these, and images of 32 pixels given as they are to a backbone for 224. Not reproduced: parameter groups
by position, and a head that fits the projection of one family of checkpoints only.
"""


def _from_pretrained(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of a system for its arm that begins from a pre-trained net: one rate for all of it.

    Like their other arms these take the statistics of the batch, however few the labels are.
    """
    rest = {name: value for name, value in settings.items() if name != "net"}
    return rest | {"backbone_lr": None, "batch_norm": "train"}


@register(
    "finetune",
    cite="Pourahmadi et al., arXiv 2110.12033, 2021; Mittal et al., arXiv 1912.05361, 2019",
    presets={"s0-finetune": S0, "s1": _from_pretrained(S1), "s4": _from_pretrained(S4)},
)
@dataclass(frozen=True, kw_only=True)
class Finetune(PretrainedLearner):
    """Trains a pre-trained backbone and a new head at every fit; the backbone starts from its file every time.

    Nothing of an earlier round is left: backbone, batch statistics and head are as a fresh one of the seed has them.
    The net is that of the backbone. Images get the normalisation that it was trained with. ``backbone_lr`` is small, so
    that what was learnt without labels survives the few there are.

    The presets ``s1`` and ``s4`` are the arms of those systems that begin from a pre-trained net; they train it at the
    rate of the head, and batch normalisation with it.

    Attributes:
        init: folder of the backbone, as ``querist pretrain`` writes it; ``~`` and ``$VARIABLES`` are resolved. Results
            record its content, not its place.
        resize: whether images are resized to those it was trained on; else they are taken as they are.
        unit: whether the head sees embeddings divided by their length.
        lr: of the head.
        backbone_lr: of everything before it.
    """

    optimizer: Literal["sgd", "adam", "adamw", "lars"] = "adamw"
    lr: float = 0.01
    backbone_lr: float | None = 1e-3
