"""Deep nets trained on pseudo-labels beside the labels: those that spread along the neighbours of their embeddings."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from querist.errors import SpecError
from querist.evidence.provider import Fit
from querist.kernels.propagation import Mode
from querist.learners.base import register
from querist.learners.deep import DeepLearner
from querist.learners.finetune import Finetune
from querist.learners.scratch import S1, Scratch
from querist.nets.bounds import require_within

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from querist.nets.images import Normalisation
    from querist.nets.training import Examples, Trainer

SPREAD: dict[str, Any] = {
    "labelled_share": 50 / 128, "refresh": 1, "mode": "prob", "share": 0.5, "least": 0.0, "loss": "ce",
    "k": 50, "power": 3.0, "alpha": 0.99, "steps": 20,
}  # fmt: skip
S1_SEMI: dict[str, Any] = S1 | SPREAD | {"batch": 128, "epochs": 800}
"""Simeoni et al., ICPR 2020, arXiv 1911.08177, with label propagation.

Taken: net, optimiser, batches of 128 with 50 labels in each, and how labels are spread and used. Not reproduced: 200
epochs over the pseudo-labels, which on 100 labels are a hundred times the updates of the supervised arm it is compared
with. 800 epochs over the labels in batches of 128 are exactly the updates of the preset ``s1`` of ``scratch``. Nor are
weights that one unreached image makes NaN for all, class weights that never reach the loss, and features of a random
view. How long labels are alone at first is ours.
"""


@dataclass(frozen=True, kw_only=True)
class Propagating(DeepLearner):
    """What learners with pseudo-labels by propagation share: settings, and the images of the pool.

    Attributes:
        supervised: share of the updates, warm-up included, that see true labels alone: a net that has learnt nothing
            has no neighbours to speak of.
        labelled_share: share of a batch, from then on, that has true labels.
        refresh: epochs over the pseudo-labels between two propagations.
        mode: which pseudo-labels an epoch uses: ``full`` all, ``certain`` the `share` that is most certain, ``prob``
            a `share` drawn with odds by certainty, ``uniform`` a `share` at random.
        share: of the unlabelled images; not for ``full``.
        least: smallest certainty, in 0..1, with which a pseudo-label takes part.
        loss: ``ce``: the likeliest class is the target; ``kl``: the probabilities are.
        balanced: whether all classes weigh the same in the loss, counted over pseudo-labels and labels together.
        pooling: ``mean``: all classes spread the same amount, however many labels they have; ``sum``: all labels do.
        k: neighbours of an image in the graph.
        power: exponent of the similarity, gamma in the papers.
        alpha: how far labels spread, between 0 and 1.
        steps: of conjugate gradients in a propagation, at most.
    """

    supervised: float = 0.3
    labelled_share: float = 0.4
    refresh: int = 1
    mode: Mode = "prob"
    share: float = 0.5
    least: float = 0.0
    loss: Literal["ce", "kl"] = "ce"
    balanced: bool = True
    pooling: Literal["mean", "sum"] = "mean"
    k: int = 10
    power: float = 3.0
    alpha: float = 0.9
    steps: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("k", "steps", "refresh"):
            require_within(name, getattr(self, name), 1, math.inf)
        require_within("supervised", self.supervised, 0, 1)
        require_within("labelled_share", self.labelled_share, 0, 1, above=True, below=True)
        require_within("share", self.share, 0, 1, above=True)
        require_within("least", self.least, 0, 1)
        require_within("power", self.power, 0, 100)
        require_within("alpha", self.alpha, 0, 0.9999)
        if self.class_weights:
            raise SpecError("class_weights counts true labels alone; balanced = true counts all that are used.")

    def examples(self, job: Fit) -> "Examples":
        """Return the labelled images and, after them, those of the pool; labels are fewer than images."""
        known = self.read(job.labelled)
        rest = np.flatnonzero(~np.isin(job.pool.ids, job.labelled.ids))
        if not len(rest):
            return known
        from querist.nets.images import read_images

        return known._replace(images=np.concatenate([known.images, read_images(job.pool.take(rest))]))

    def trainer(self, fabric: "Fabric", normalise: "Normalisation", l: int) -> "Trainer":
        """Return the loop with two streams."""
        from querist.nets.two_streams import Spreading, TwoStreams

        labelled = min(max(1, round(self.labelled_share * self.batch)), self.batch - 1)
        spreading = Spreading(
            labelled=labelled, supervised=self.supervised, refresh=self.refresh, mode=self.mode, share=self.share,
            least=self.least, loss=self.loss, balanced=self.balanced, pooling=self.pooling, k=self.k, power=self.power,
            alpha=self.alpha, steps=self.steps,
        )  # fmt: skip
        return TwoStreams(self.recipe(l), fabric, normalise, spreading)


@register(
    "deep_propagation",
    cite="Iscen, Tolias, Avrithis & Chum, CVPR 2019; in active learning: Simeoni et al., ICPR 2020, arXiv 1911.08177",
    presets={"s1-semi": S1_SEMI},
)
@dataclass(frozen=True, kw_only=True)
class DeepPropagation(Propagating, Scratch):
    """Trains an image net from random weights on the labels and on pseudo-labels of the pool, at no more updates.

    After a while on labels alone, labels are spread over the graph of neighbours of the net's own embeddings of all
    labelled images and candidates, see ``propagation``; every image is then as good as its certainty, ``1 - H / log c``
    over the largest. Batches have true labels and pseudo-labels side by side, and pseudo-labels are made anew every
    epoch of theirs. The number of updates is that of any other learner with these settings, so that a comparison is of
    methods and not of hours; each propagation takes one more pass over the images and a search of all neighbours.

    It helps with few labels that cover all classes, on images whose neighbours share a class. On digits as images of
    8 x 8 (300 updates of ``small_cnn``, balanced labels, mean of 4 sets) 1, 2 and 5 labels per class give 0.791, 0.888
    and 0.919, ``scratch`` 0.566, 0.781 and 0.863; pixels being good features there, ``supervised = 0`` gives 0.831,
    0.909 and 0.933, and the published `k` = 50 and `alpha` = 0.99 give 0.716, 0.853 and 0.898.

    It hurts where labels are a skewed batch: what is missing or rare among them is labelled as something else, the net
    learns that, and the next propagation confirms it. Its probabilities are then sure and wrong, so strategies that
    look for doubt stay away from there. On 20 labels of 7 of the digits, each half as frequent as the one before,
    little is left of the gain: 0.430 against 0.391. Run ``scratch`` with the same settings beside it.

    A fit that was killed goes on with the pseudo-labels it had. Several devices each make the same ones.

    Attributes:
        net: as for ``scratch``.
    """


@register(
    "finetune_propagation",
    cite="Iscen, Tolias, Avrithis & Chum, CVPR 2019; from a pre-trained net: Simeoni et al., ICPR 2020",
    presets={"s1-semi": {k: v for k, v in S1_SEMI.items() if k != "net"} | {"backbone_lr": None, "supervised": 0.0}},
)
@dataclass(frozen=True, kw_only=True)
class FinetunePropagation(Propagating, Finetune):
    """Trains a pre-trained backbone and a new head on the labels and on pseudo-labels of the pool.

    As ``deep_propagation``, but the net starts from a file as that of ``finetune`` does. Neighbours then mean something
    from the beginning, so labels may well spread at once: ``supervised = 0``, as in the preset.

    Attributes:
        init: folder of the backbone, as ``querist pretrain`` writes it; ``~`` and ``$VARIABLES`` are resolved. Results
            record its content, not its place.
    """
