"""DeepCluster in torch: tell the cluster of an image, among clusters of the features of the epoch before."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from querist.arrays import Array, Rows
from querist.evidence.features import unit_rows
from querist.kernels.kmeans import kmeans
from querist.kernels.pca import principal_axes
from querist.nets.augmenting import Augmenting
from querist.nets.share import ALONE, Draws, Share
from querist.nets.tasks.base import Load, Outcome, Start
from querist.nets.tasks.varied import VariedTask
from querist.seeds import Seed

GROUPS = "deep_cluster"
"""Name of the statistic that says in which cluster an image was in the last epoch."""

ITERATIONS = 10
"""Of k-means."""

SPREAD = 0.01
"""Standard deviation of the weights of a new head."""


class DeepClusterTask(VariedTask):
    """Backbone, and a linear head over clusters that is drawn anew whenever clusters are, which is every epoch.

    Args:
        start: what it begins with.
        augmenting: how images are varied in training; features are of clean ones.
        k: number of clusters, at most one per image.
        whiten: principal components that features are reduced to and scaled along; 0 for features as they are.
    """

    cluster: Tensor

    def __init__(self, start: Start, augmenting: Augmenting, *, k: int, whiten: int) -> None:
        super().__init__(start)
        self.k, self.whiten, self.augmenting = min(k, start.n), min(whiten, start.n, start.d), augmenting
        self.head = nn.Linear(start.d, self.k)
        self.register_buffer("cluster", torch.zeros(start.n, dtype=torch.int64), persistent=False)

    def constant(self) -> Iterable[nn.Module]:
        """Return the head: it starts anew every epoch and has to catch up with the whole rate."""
        return (self.head,)

    @torch.no_grad()
    def begin(self, epoch: int, features: Callable[[], Tensor], draws: torch.Generator) -> Iterable[nn.Parameter]:
        """Cluster the pool, draw a new head, and return its parameters: numbers of clusters mean something else now."""
        source = np.random.default_rng(int(torch.randint(2**62, (), generator=draws)))
        x_n_d = unit_rows(whitened(features().numpy(), self.whiten))
        label_n = kmeans(x_n_d, self.k, source, iterations=ITERATIONS).label_N
        self.cluster.copy_(torch.from_numpy(without_gaps(x_n_d, label_n, self.k, source)))
        self.head.weight.copy_(SPREAD * torch.randn(self.head.weight.shape, generator=draws))
        self.head.bias.zero_()
        return self.head.parameters()

    def order(self, draws: torch.Generator) -> Tensor:
        """Return as many rows of every cluster, ``(n,)`` in random order; those of a large cluster not all."""
        return balanced(self.cluster.cpu(), self.k, draws)

    def views(self, rows: Tensor, load: Load, draws: Draws) -> tuple[Tensor, ...]:
        """Return one varied view."""
        return (self.vary(rows, load, self.augmenting, draws),)

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return embeddings ``(b, d)`` and logits ``(b, k)``."""
        embedded = self.backbone(views[0])
        return embedded.detach(), self.head(embedded)

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return the cross-entropy of telling the clusters."""
        embedded, logits = parts
        return Outcome(functional.cross_entropy(logits, self.cluster[rows]), embedded, {})

    def finish(self, load: Load, seed: Seed, share: Share = ALONE) -> Mapping[str, Tensor]:
        """Return the cluster of every image in the last epoch, ``(n, 1)``."""
        return {GROUPS: self.cluster[:, None]}


def whitened(x_n_d: Array, a: int) -> Array:
    """Return rows along their `a` leading principal axes, ``(n, a)``, with variance 1 along each; as they are for 0."""
    if not a:
        return x_n_d
    mean_d, axes_d_a = principal_axes(lambda: [x_n_d], len(x_n_d), x_n_d.shape[1], a)
    along_n_a = (x_n_d - mean_d) @ axes_d_a
    spread_a = along_n_a.std(axis=0)
    return along_n_a / np.where(spread_a > 0, spread_a, 1.0)


def without_gaps(x_n_d: Array, label_n: Rows, k: int, source: np.random.Generator) -> Rows:
    """Return a clustering of which none of `k` clusters is empty: the largest is split in two until it is so.

    It is split by 2-means; where that leaves one half empty, for its rows are all alike, by their order.

    Args:
        x_n_d: the points, at least `k`.
        label_n: their clusters, some of which may be empty.
        k: number of clusters.
        source: where starts come from.
    """
    label_n = label_n.copy()
    for empty in np.flatnonzero(np.bincount(label_n, minlength=k) == 0).tolist():
        rows = np.flatnonzero(label_n == np.bincount(label_n, minlength=k).argmax())
        half = kmeans(x_n_d[rows], 2, source, iterations=ITERATIONS).label_N == 1
        if half.all() or not half.any():
            half = np.arange(len(rows)) % 2 == 1
        label_n[rows[half]] = empty
    return label_n


def balanced(cluster_n: Tensor, k: int, draws: torch.Generator) -> Tensor:
    """Return ``(n,)`` rows in random order, equally many of every cluster; what is left over goes to random clusters.

    No row of a cluster is taken again before all of it were.

    Args:
        cluster_n: the cluster of every row, none of `k` empty.
        k: number of clusters.
        draws: source of randomness, on the CPU.
    """
    n = len(cluster_n)
    share = torch.full((k,), n // k)
    share[torch.randperm(k, generator=draws)[: n % k]] += 1
    rows = torch.split(cluster_n.argsort(stable=True), torch.bincount(cluster_n, minlength=k).tolist())
    taken = [
        torch.cat([own[torch.randperm(len(own), generator=draws)] for _ in range(-(-want // len(own)))])[:want]
        for own, want in zip(rows, share.tolist(), strict=True)
        if want
    ]
    chosen = torch.cat(taken)
    return chosen[torch.randperm(n, generator=draws)]
