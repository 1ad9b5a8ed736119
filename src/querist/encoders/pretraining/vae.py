"""A variational autoencoder: make an image from a short code of it."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from querist import extras
from querist.encoders.pretraining.base import Method, register
from querist.nets.bounds import require_within

if TYPE_CHECKING:
    from querist.nets.tasks.base import Start, Task

PRESETS = {"S3": {"net": "strided_cnn", "epochs": 200, "batch": 200, "lr": 1e-3, "weight_decay": 5e-4, "latent": 128}}


@register("vae", cite="Kingma & Welling, ICLR 2014; settings: Chandra et al. 2020, arXiv 2011.14696", presets=PRESETS)
@dataclass(frozen=True, kw_only=True)
class VAE(Method):
    """Minimises ``|x - decode(z)|^2 / (values of an image) + weight * KL(posterior | N(0, 1))``, z from the posterior.

    Images are normalised and not varied; the decoder gives whatever an image can be, levels between 0 and 255 in the
    same normalisation. With `net` as the encoder, its embedding leads to mean and variance of the code by two linear
    layers. A net whose embedding is a mean over all positions, as most are, has forgotten where things were, and
    reconstructs less; ``strided_cnn`` has not.

    At the end it keeps the loss of every clean image as ``vae_loss``, at the mean of its posterior, without any draw.

    Attributes:
        latent: width of the code.
        weight: of the divergence; None for ``batch / images of the pool``, as published: the larger, the closer codes
            are to the prior, and the blurrier images.
    """

    scaled: ClassVar = False

    net: str = "strided_cnn"
    batch: int = 200
    optimizer: Literal["sgd", "adam", "adamw", "lars"] = "adam"
    schedule: Literal["cosine", "linear", "constant", "multistep", "exponential"] = "constant"
    lr: float = 1e-3
    weight_decay: float = 5e-4
    latent: int = 128
    weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within("latent", self.latent, 1, math.inf)
        require_within("weight", self.weight or 0.0, 0, math.inf)

    def task(self, start: "Start") -> "Task":
        """Return encoder and decoder."""
        extras.require("pre-training vae", "deep", "torch")
        from querist.nets.tasks.vae import VAETask

        weight = min(self.batch, start.n) / start.n if self.weight is None else self.weight
        return VAETask(start, latent=self.latent, weight=weight)
