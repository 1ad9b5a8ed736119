"""A deep net that goes on from the weights of the round before."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from querist.errors import DataError
from querist.evidence.provider import Fit
from querist.extras import require
from querist.learners.base import register
from querist.learners.deep_model import DeepModel
from querist.learners.scratch import Scratch

if TYPE_CHECKING:
    from querist.nets.net import Net

_S3: dict[str, Any] = {
    "net": "resnet18_cifar", "weight_decay": 3e-4, "decay_all": True, "warmup": 0.0, "crop": 0.125, "flip": True,
}  # fmt: skip
_ADAM: dict[str, Any] = {"optimizer": "adam", "schedule": "constant"}

S3: dict[str, dict[str, Any]] = {
    "s3-cifar10": _S3 | {
        "epochs": 200, "batch": 96, "optimizer": "sgd", "lr": 0.025, "momentum": 0.9, "nesterov": True,
        "schedule": "cosine",
    },
    "s3-medmnist": _S3 | _ADAM | {"epochs": 200, "batch": 128, "lr": 3e-4},
    "s3-mnist": _S3 | _ADAM | {"epochs": 100, "batch": 64, "lr": 5e-3, "flip": False},
    "s3-tiny": _S3 | _ADAM | {"epochs": 100, "batch": 200, "lr": 1e-3},
}  # fmt: skip
"""Chandra et al. 2020, arXiv 2011.14696, and Chen et al. 2022, arXiv 2210.02442.

Taken: optimisers, batches, epochs, and the warm start, which their code has and their papers do not say. Not
reproduced: test images are cropped at random; the file of the best epoch holds the weights of the last; the net has a
max-pooling and a projector after its stem, so that its embedding is a linear output of 128. The weight decay of the
last two is that of the others. Their crops bring in black, and ours a mirror image.
"""

S2_IMAGENET: dict[str, Any] = {
    "net": "torchvision/resnet50", "epochs": 100, "batch": 256, "optimizer": "sgd", "lr": 0.01, "momentum": 0.9,
    "nesterov": False, "weight_decay": 3e-4, "decay_all": True, "schedule": "multistep",
    "milestones": (0.35, 0.55, 0.8), "gamma": 0.1, "warmup": 0.05, "crop": 0.125, "flip": True,
}  # fmt: skip
"""Munjal et al., CVPR 2022, on ImageNet: 5 epochs up, steps at 35, 55 and 80, weights from the round before.

Their random resized crops are plain crops here. Regularised, they train twice as long at ten times the rate.
"""

S2_IMAGENET_SR: dict[str, Any] = S2_IMAGENET | {
    "epochs": 200, "lr": 0.1, "milestones": (0.4, 0.65, 0.8, 0.9), "warmup": 0.025, "policy": "randaugment_s2",
    "operations": 1, "magnitude": 9,
}  # fmt: skip


@register(
    "warm",
    cite="why not by default: Ash & Adams, NeurIPS 2020",
    presets={**S3, "s2-imagenet": S2_IMAGENET, "s2-imagenet-sr": S2_IMAGENET_SR},
)
@dataclass(frozen=True, kw_only=True)
class Warm(Scratch):
    """Trains the net of the round before on, with a new optimiser and a new schedule.

    Weights and batch statistics are those the round before ended with; in the first round they are random, and the fit
    is that of ``scratch``. Warm starts are known to cost accuracy and to favour what was labelled first, so this is
    for recipes that were published so, and for comparisons with them.

    Attributes:
        net: as for ``scratch``.
    """

    warm_starts: ClassVar[bool] = True

    def initialise(self, net: "Net", job: Fit) -> None:
        """Copy the weights of the round before into the net, if there was one.

        Raises:
            DataError: that model was not trained by this kind of learner, or is of another net.
        """
        if job.warm is None:
            return
        if not isinstance(job.warm, DeepModel):
            raise DataError(
                f"learner 'warm' goes on from a net, and was given a {type(job.warm).__name__}. Keep one "
                "learner through all rounds, or start anew with 'scratch'."
            )
        require("learner 'warm'", "deep", "safetensors")
        from querist.nets.checkpoints import fill

        fill(net, job.warm.net.state_dict(), "the model of the round before")
