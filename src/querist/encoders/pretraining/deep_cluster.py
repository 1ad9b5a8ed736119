"""DeepCluster: tell the cluster of an image, among clusters of the features of the epoch before."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from querist import extras
from querist.encoders.pretraining.base import Method, clusters_of, register
from querist.nets.augmenting import Augmenting
from querist.nets.bounds import require_within

if TYPE_CHECKING:
    from querist.nets.tasks.base import Start, Task

PRESETS = {
    "S1": {"net": "cnn13", "epochs": 400, "batch": 128, "lr": 0.04},
    "paper": {
        "net": "sobel(vgg16_bn)", "epochs": 200, "clusters": 10_000, "weight_decay": 1e-5, "schedule": "constant",
        "whiten": 256,
    },
}  # fmt: skip

PER_CLASS = 5
"""Clusters for each declared class."""


@register("deep_cluster", cite="Caron, Bojanowski, Joulin & Douze, ECCV 2018", presets=PRESETS)
@dataclass(frozen=True, kw_only=True)
class DeepCluster(Method):
    """Clusters features of the pool and learns to tell the clusters, in turns, an epoch each.

    At the beginning of every epoch the unit features of all clean images are clustered by k-means, the largest cluster
    is split until none is empty, and a new head is drawn, for which the optimiser remembers nothing and whose rate does
    not fall: numbers of clusters mean something else every time. The epoch then takes equally many images from every
    cluster, so that large ones cannot swallow the others.

    It keeps the clusters of the last epoch as ``deep_cluster``.

    The preset ``S1`` is of Simeoni et al. (ICPR 2020), where one head served all epochs. ``paper`` is for ImageNet at
    224 pixels.

    Attributes:
        clusters: their number, at most one per image; None for five times the declared classes.
        whiten: principal components that features are reduced to and scaled along before they are clustered; 0 for
            features as they are.
        crop: how far a random crop may be off, as a share of the shorter side, beyond the border by reflection; 0 none.
        flip: whether half of the images are mirrored left to right. Switch it off for digits, letters and whatever else
            is another thing in the mirror.
    """

    clusters: int | None = None
    whiten: int = 0
    crop: float = 0.125
    flip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within("clusters", 2 if self.clusters is None else self.clusters, 2, math.inf)
        require_within("whiten", self.whiten, 0, math.inf)
        self._augmenting()

    def task(self, start: "Start") -> "Task":
        """Return backbone and head.

        Raises:
            SpecError: neither a number of clusters nor classes were declared.
        """
        extras.require("pre-training deep_cluster", "deep", "torch")
        from querist.nets.tasks.deep_cluster import DeepClusterTask

        k = clusters_of(self.clusters, PER_CLASS * start.c, "deep_cluster")
        return DeepClusterTask(start, self._augmenting(), k=k, whiten=self.whiten)

    def _augmenting(self) -> Augmenting:
        return Augmenting(crop=self.crop, flip=self.flip)
