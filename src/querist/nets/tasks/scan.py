"""SCAN in torch: give an image and its neighbours one cluster, then teach strong views what sure ones say."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from querist.evidence.features import unit_rows
from querist.kernels.neighbours import nearest_neighbours
from querist.nets.augmenting import Augmenting
from querist.nets.share import ALONE, Draws, Share
from querist.nets.tasks.base import Load, Outcome, Start
from querist.nets.tasks.varied import VariedTask, in_order
from querist.seeds import Seed

PROBS = "scan_probs"
"""Name of the statistic of the probabilities of the clusters."""

EMPTY, SURE = "empty_clusters", "sure"
"""Names of what is measured in an epoch."""

TINY = 1e-8
"""What probabilities are at least in a logarithm."""


class SCANTask(VariedTask):
    """A backbone that was trained before, and a linear head over clusters.

    Args:
        start: what it begins with.
        weak: how images vary that say which cluster it is.
        strong: how images vary that learn.
        k: number of clusters.
        neighbours: of every image, at most all others.
        clustering: epochs before self-labelling begins.
        entropy: weight of the entropy of the mean assignment.
        threshold: probability from which on an image labels itself.
    """

    near: Tensor

    def __init__(
        self,
        start: Start,
        weak: Augmenting,
        strong: Augmenting,
        *,
        k: int,
        neighbours: int,
        clustering: int,
        entropy: float,
        threshold: float,
    ) -> None:
        super().__init__(start)
        self.head = nn.Linear(start.d, k)
        self.weak, self.strong, self.clustering = weak, strong, clustering
        self.entropy, self.threshold, self.labelling = entropy, threshold, False
        near = torch.zeros(start.n, min(neighbours, start.n - 1), dtype=torch.int64)
        self.register_buffer("near", near, persistent=False)
        self._sure, self._members = 0, torch.zeros(k, dtype=torch.int64)

    def begin(self, epoch: int, features: Callable[[], Tensor], draws: torch.Generator) -> Iterable[nn.Parameter]:
        """Find neighbours before the first epoch; begin self-labelling with an optimiser that remembers nothing."""
        if epoch == 0:
            found, _ = nearest_neighbours(unit_rows(features().numpy()), self.near.shape[1])
            self.near.copy_(torch.from_numpy(found))
        self.labelling = epoch >= self.clustering
        self._sure, self._members = 0, torch.zeros_like(self._members)
        return self.parameters() if epoch == self.clustering else ()

    def views(self, rows: Tensor, load: Load, draws: Draws) -> tuple[Tensor, ...]:
        """Return strong views of images and of a neighbour of each; in self-labelling a weak and a strong view."""
        if self.labelling:
            return self.vary(rows, load, self.weak, draws), self.vary(rows, load, self.strong, draws)
        which = draws.below(self.near.shape[1])
        partners = self.near[rows.to(self.near.device), which.to(self.near.device)].cpu()
        return tuple(self.vary(some, load, self.strong, draws) for some in (rows, partners))

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return embeddings ``(b, d)``, and logits ``(b, k)`` of images and neighbours, or of weak and strong views."""
        if not self.labelling:
            embedded, partners = (self.backbone(view) for view in views)
            return embedded.detach(), self.head(embedded), self.head(partners)
        with torch.no_grad():
            sure = self.head(self.backbone(views[0]))
        embedded = self.backbone(views[1])
        return embedded.detach(), sure, self.head(embedded)

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return the loss of either stage; without a sure image in a batch, one that asks for no step."""
        embedded, first, second = parts
        most, cluster = first.detach().softmax(dim=1).max(dim=1)
        self._sure += int((most > self.threshold).sum())
        self._members += torch.bincount(cluster, minlength=len(self._members)).cpu()
        if self.labelling:
            return Outcome(self_labelling(second, first, self.threshold), embedded, {})
        return Outcome(consistency(first, second, self.entropy), embedded, {})

    def measured(self) -> Mapping[str, float]:
        """Return how many clusters were no image's likeliest and, in self-labelling, the share of images sure of one.

        Both are of the views that say which cluster an image is in.
        """
        empty = {EMPTY: int((self._members == 0).sum())}
        return {**empty, SURE: self._sure / int(self._members.sum())} if self.labelling else empty

    def finish(self, load: Load, seed: Seed, share: Share = ALONE) -> Mapping[str, Tensor]:
        """Return the probabilities of the clusters of every clean image, ``(n, k)``."""

        def measure(x: Tensor) -> Tensor:
            return self.head(self.backbone(x)).double().softmax(dim=1)

        return {PROBS: in_order(self, load, measure, "clusters", share)}


def consistency(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Return ``-mean log <p, q> - weight * entropy of the mean p``, a scalar.

    Args:
        first: logits ``(b, k)`` of images; p is their softmax.
        second: of a neighbour of each; q.
        weight: of the entropy, which keeps clusters from being empty.
    """
    p, q = first.softmax(dim=1), second.softmax(dim=1)
    mean = p.mean(dim=0).clamp(min=TINY)
    entropy = -(mean * mean.log()).sum()
    return -(p * q).sum(dim=1).clamp(min=TINY).log().mean() - weight * entropy


def self_labelling(logits: Tensor, sure: Tensor, threshold: float) -> Tensor:
    """Return the cross-entropy of images with the clusters that they are surely in, a scalar.

    Every cluster weighs the same, however many images of the batch are surely in it. If none is, the loss is 0 and has
    no gradient.

    Args:
        logits: ``(b, k)`` of strong views.
        sure: of weak views, without a gradient.
        threshold: the probability above which a weak view is sure.
    """
    most, cluster = sure.softmax(dim=1).max(dim=1)
    mask = most > threshold
    if not bool(mask.any()):
        return logits.new_zeros(())
    target = cluster[mask]
    count = torch.bincount(target, minlength=logits.shape[1])
    weight = torch.where(count > 0, len(target) / count.clamp(min=1), 0.0).to(logits.dtype)
    return functional.cross_entropy(logits[mask], target, weight=weight)
