"""SCAN: clusters in which an image and its neighbours agree, and self-labelling of those it is sure of."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from querist import extras
from querist.encoders.pretrained import Pretrained
from querist.encoders.pretraining.base import Method, clusters_of, register
from querist.errors import SpecError
from querist.nets.augmenting import Augmenting
from querist.nets.bounds import require_within

if TYPE_CHECKING:
    from querist.nets.tasks.base import Start, Task

PRESETS = {"paper": {}, "S3": {"epochs": 300, "self_labelling": 2 / 3}}


@register(
    "scan", cite="Van Gansbeke, Vandenhende, Georgoulis, Proesmans & Van Gool, ECCV 2020", presets=PRESETS
)  # fmt: skip
@dataclass(frozen=True, kw_only=True)
class SCAN(Method):
    """Trains clusters on a backbone that was pre-trained before, and the backbone with them, in two stages.

    First it minimises ``-log <p(x), p(neighbour of x)> - entropy * H(mean p)``: neighbours are the nearest images in
    the unit features of `init`, found once. Then images label themselves: where the probability of a cluster is above
    `threshold` on a weak view, a strong view learns that cluster, every cluster weighing the same. A batch without a
    sure image makes no step. Every epoch records how many clusters were no image's likeliest, ``empty_clusters``, and
    in the second stage the share of images that were ``sure``; where clusters are empty or nobody is sure, it says so.

    It keeps the cluster probabilities of every clean image as ``scan_probs``, and what `init` kept of the same images.

    It is as good as the neighbours are: on features in which those of an image are mostly of other classes, clusters
    are too. A cluster of which no image ever gets as sure as `threshold` dies out in the second stage: after a short
    first stage, or on small images, lower it, and look at the sizes of the clusters. Two runs may number clusters
    differently.

    Attributes:
        net: that of `init`, which it is if left empty.
        epochs: of both stages.
        batch: images of an update of the first stage.
        init: folder of the backbone to begin with, e.g. of ``querist pretrain simclr``; ``~`` and ``$VARIABLES`` are
            resolved. Results record its content.
        clusters: their number; None for the declared classes.
        neighbours: of every image, at most all others.
        entropy: weight of the entropy of the mean assignment, which keeps clusters from being empty.
        self_labelling: share of the epochs, the last ones, in which images label themselves; the first epoch never is.
        label_batch: images of an update of the second stage.
        threshold: the probability above which an image is sure of its cluster.
        operations: how many operations of any strength a strong view goes through before a cut-out; see the policy
            ``fixmatch`` of `querist.nets.augmenting.Augmenting`.
        crop: how far a random crop may be off, as a share of the shorter side, beyond the border by reflection; 0 none.
        flip: whether half of the images are mirrored left to right. Switch it off for digits, letters and whatever else
            is another thing in the mirror.
    """

    scaled: ClassVar = False

    net: str = ""
    epochs: int = 250
    batch: int = 128
    optimizer: Literal["sgd", "adam", "adamw", "lars"] = "adam"
    schedule: Literal["cosine", "linear", "constant", "multistep", "exponential"] = "constant"
    lr: float = 1e-4
    init: str = ""
    clusters: int | None = None
    neighbours: int = 20
    entropy: float = 5.0
    self_labelling: float = 0.8
    label_batch: int = 1000
    threshold: float = 0.99
    operations: int = 4
    crop: float = 0.125
    flip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within("clusters", 2 if self.clusters is None else self.clusters, 2, math.inf)
        require_within("neighbours", self.neighbours, 1, math.inf)
        require_within("entropy", self.entropy, 0, math.inf)
        require_within("label_batch", self.label_batch, 2, math.inf)
        require_within("threshold", self.threshold, 0, 1, below=True)
        require_within("self_labelling", self.self_labelling, 0, 1, below=True)
        self._strong()

    @property
    def clustering(self) -> int:
        """Epochs of the first stage."""
        return max(1, self.epochs - round(self.self_labelling * self.epochs))

    def size(self, epoch: int) -> int:
        """Return the largest number of images of an update of an epoch, counted from 0."""
        return self.batch if epoch < self.clustering else self.label_batch

    def initial(self) -> Path:
        """Return the folder of the backbone to begin with.

        Raises:
            SpecError: none was given.
        """
        if not self.init:
            raise SpecError(
                "scan begins with a backbone that was pre-trained: set init to its folder, e.g. of querist pretrain "
                "simclr."
            )
        return Path(os.path.expandvars(self.init)).expanduser()

    def identity(self) -> dict[str, object]:
        """Return the settings, with digests of the backbone to begin with in the place of its folder.

        Raises:
            DataError: there is no backbone.
            SpecError: none was given.
        """
        return {**super().identity(), "init": Pretrained(path=str(self.initial())).identity()}

    def notices(self, history: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
        """Return a word about images that were sure of no cluster, and about clusters without images."""
        found, last = [], history[-1]
        if "sure" in last and not any(epoch.get("sure", 0) for epoch in history):
            found.append(
                f"No image was ever sure of its cluster: {len(history) - self.clustering} epochs of self-labelling "
                f"changed nothing. Lower threshold (now {self.threshold:g}), or train the first stage for longer, by "
                "more epochs or a smaller self_labelling."
            )
        elif last.get("sure") == 0:
            found.append("In the last epoch no image was sure of its cluster any more. Lower threshold or lr.")
        if empty := int(last.get("empty_clusters", 0)):
            found.append(
                f"{empty} cluster{'s are' if empty > 1 else ' is'} empty: in the last epoch no image was likeliest in "
                f"{'them' if empty > 1 else 'it'}. Raise entropy (now {self.entropy:g}), lower threshold (now "
                f"{self.threshold:g}) or self_labelling, or ask for fewer clusters."
            )
        return tuple(found)

    def task(self, start: "Start") -> "Task":
        """Return backbone and head.

        Raises:
            SpecError: neither a number of clusters nor classes were declared.
        """
        extras.require("pre-training scan", "deep", "torch")
        from querist.nets.tasks.scan import SCANTask

        return SCANTask(
            start, Augmenting(crop=self.crop, flip=self.flip), self._strong(),
            k=clusters_of(self.clusters, start.c, "scan"), neighbours=self.neighbours, clustering=self.clustering,
            entropy=self.entropy, threshold=self.threshold,
        )  # fmt: skip

    def _strong(self) -> Augmenting:
        return Augmenting(crop=self.crop, flip=self.flip, policy="fixmatch", operations=self.operations)
