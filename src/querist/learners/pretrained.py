"""What learners that start from a pre-trained backbone share: reading it at every fit, under a new head."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from querist.errors import DataError
from querist.evidence.provider import Fit
from querist.files import file_digest, require_file
from querist.learners.deep import DeepLearner
from querist.nets.recipe import Recipe
from querist.registry import describe, digest

if TYPE_CHECKING:
    from querist.nets.blueprint import Blueprint
    from querist.nets.images import Normalisation
    from querist.nets.net import Net

CARD, WEIGHTS = "card.json", "weights.safetensors"
DEPENDS = ("net", "shape", "d", "mean", "std")
"""What of the card of a backbone a fit depends on, besides the weights."""
FEW = 10
"""Batches of labels below which ``batch_norm = "auto"`` keeps the statistics of the checkpoint."""

WANTED = "a pre-trained backbone, a folder as `querist pretrain` and `querist import-backbone` write it, with its file"


@dataclass(frozen=True, kw_only=True)
class FromBackbone:
    """The settings that come first in the list, which they do as fields of the last base.

    Attributes:
        init: folder of the backbone.
        resize: whether images are resized to those it was trained on.
        unit: whether the head sees embeddings divided by their length.
    """

    init: str
    resize: bool = True
    unit: bool = False


@dataclass(frozen=True, kw_only=True)
class PretrainedLearner(DeepLearner, FromBackbone):
    """Starts every fit from the same pre-trained backbone and a head drawn anew.

    Attributes:
        init: folder of the backbone, see `querist.nets.backbones`; ``~`` and ``$VARIABLES`` are resolved. Results
            record its content, not its place.
        resize: whether images are resized to those it was trained on; else they are taken as they are.
        unit: whether the head sees embeddings divided by their length.
    """

    frozen: ClassVar[bool] = False

    def identity(self) -> dict[str, object]:
        """Return the settings, with a digest of the backbone's content in the place of its path.

        Raises:
            DataError: there is no backbone.
        """
        weights = file_digest(require_file(f"{self.init}/{WEIGHTS}", self._who, WANTED))
        return describe(self) | {"init": digest([weights, *(self._card[name] for name in DEPENDS)])}

    @property
    def architecture(self) -> str:
        return self._card["net"]

    def plan(self, shape: tuple[int, int, int], c: int) -> "Blueprint":
        """Return what the net is built from: the backbone, and what comes before and after it."""
        channels, height, width = self._card["shape"]
        takes = (channels, height, width) if self.resize else (channels, *shape[1:])
        return super().plan(shape, c)._replace(takes=takes, unit=self.unit, frozen=self.frozen)

    def initialise(self, net: "Net", job: Fit) -> None:
        """Copy the backbone into the net; its head stays as it was drawn."""
        from querist.nets.backbones import read_backbone
        from querist.nets.blueprint import body_of
        from querist.nets.checkpoints import fill

        backbone, _ = read_backbone(self._folder)
        fill(body_of(net), backbone.state_dict(), f"the backbone {self.init}")

    def normalisation(self, job: Fit) -> "Normalisation":
        """Return the normalisation that the backbone was trained with; of grey images its mean over the channels."""
        from querist.nets.images import Normalisation, read_images

        mean, std = tuple(self._card["mean"]), tuple(self._card["std"])
        if read_images(job.labelled.take(np.array([0]))).shape[3] == 1:
            mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
        return Normalisation(mean, std)

    def recipe(self, l: int) -> Recipe:
        """Return the settings of a fit: few labels would make poor batch statistics, so then those there are stay."""
        if self.batch_norm != "auto":
            return self
        if l < FEW * self.batch:
            return replace(self, batch_norm="eval", precise_bn=False)  # statistics that stay are not computed anew
        return replace(self, batch_norm="train")

    @property
    def _who(self) -> str:
        return f"learner {self.card.name!r}"

    @property
    def _folder(self) -> Path:
        return require_file(f"{self.init}/{CARD}", self._who, WANTED).parent

    @property
    def _card(self) -> dict[str, Any]:
        """The card of the backbone, read without torch: listing what a learner offers must not need it."""
        try:
            card = json.loads((self._folder / CARD).read_bytes())
            missing = [name for name in DEPENDS if name not in card]
        except (ValueError, TypeError) as error:
            raise DataError(f"{self._who}: the card of {self.init} is damaged: {error}.") from error
        if missing or card.get("kind") != "backbone":
            raise DataError(f"{self._who}: {self.init} is a checkpoint of {card.get('kind')!r}, expected a 'backbone'.")
        return card
