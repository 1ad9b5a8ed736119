"""Cluster-Margin: small margins, spread over the clusters of a fixed clustering of the pool."""

from dataclasses import dataclass
from math import ceil, inf
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Labels
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Need, Probs
from querist.kernels import scores
from querist.kernels.apportion import in_turn
from querist.kernels.linkage import average_linkage
from querist.kernels.top import top_b
from querist.seeds import Key
from querist.strategies.base import Picks, State, Strategy, register
from querist.strategies.random import without_round


@register(
    "cluster_margin",
    cite="Citovsky et al., NeurIPS 2021",
    presets={
        "paper": {"oversampling": 10.0},
        "paper_large": {"oversampling": 1.25},
        "S4": {"oversampling": 10.0, "mean_size": 1.25, "threshold": None},
    },
)
@dataclass(frozen=True, kw_only=True)
class ClusterMargin(Strategy):
    """Wants, of the rows with the smallest margins, a random one of each cluster in turn, the rarest clusters first.

    The pool, labelled rows included, is clustered by average linkage under cosine distance. The ``oversampling * b``
    unlabelled rows of smallest margin are grouped by cluster; clusters come in ascending order of how many such rows
    they have, one row per visit, until the batch is full; a cluster without rows left is passed over.

    The clustering depends on the rows and on nothing that changes from round to round: on frozen features it is made
    again in every round and is the same one, as if it had been made once. On embeddings, which follow the model, it is
    that of the round, where the authors keep the clusters of their first model. It takes time O(N^2 d).

    The rarest clusters are outliers once clusters are large: with 100 labels of digits in batches of 20 and the linear
    learner, a mean size of 1.25 reached 92.9 % (margin 92.6 %, random 89.9 %), 2 reached 91.1 % and 4 reached 89.6 %
    (means of 16 pools, standard errors up to 0.4). Hence the default.

    Use when: batches are large and margin alone would buy near-duplicates.

    Avoid when: clusters would be large: the rarest clusters are then outliers, and the gain over random is lost on
    digits at 4 rows per cluster.

    Pitfalls: linkage takes time in the square of the pool. The clusters of embeddings change with the model in every
    round.

    Attributes:
        oversampling: rows of small margin per pick.
        mean_size: the number of clusters is the number of rows divided by this.
        threshold: instead, merge clusters as long as their mean cosine distance is below this.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("M", "H")
    oversampling: float = 10.0
    mean_size: float = 1.25
    threshold: float | None = None
    space: Literal["auto", "features", "embeddings"] = "auto"
    needs: ClassVar = (Probs(), Features(frame="all"))

    def __post_init__(self) -> None:
        for name in ("oversampling", "mean_size"):
            if not 1.0 <= (value := getattr(self, name)) < inf:
                raise SpecError(f"Expected {name} to be finite and 1 or larger, got {value}.")
        if self.threshold is not None and not 0.0 < self.threshold < inf:
            raise SpecError(f"Expected threshold to be positive and finite, or None, got {self.threshold}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(), Embeddings(frame="all")) if self.space == "embeddings" else self.needs

    def reason(self, utility: float) -> str:
        return f"its two most likely classes are {abs(utility):.3f} apart, and few items like it are as uncertain"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        margin_n, tie_n = scores.margin(ev[Probs()]), key.hash(ev.candidates)
        rows = top_b(margin_n, tie_n, min(len(margin_n), ceil(self.oversampling * b)))
        group, size_g = np.unique(self._clusters(ev, key)[rows], return_inverse=True, return_counts=True)[1:]
        # Clusters of one size come in the order of a hash of their number, which follows the ids of their first rows.
        tie_g = key.child("clusters").hash(np.arange(len(size_g)))
        turn_g = np.empty(len(size_g), np.intp)
        turn_g[np.lexsort((tie_g, size_g))] = np.arange(len(size_g))
        picked = rows[in_turn(group, turn_g, key.child("members").hash(ev.candidates[rows]), b)]
        return Picks(picked, margin_n[picked])

    def _clusters(self, ev: Evidence, key: Key) -> Labels:
        """Return the cluster of every candidate."""
        x_N_d = ev[Embeddings(frame="all") if self.space == "embeddings" else Features(frame="all")]
        N = len(x_N_d)
        tie_N = without_round(key).child("linkage").hash(ev.all)
        if self.threshold is not None:
            label_N = average_linkage(x_N_d, tie_N, below=self.threshold).label_N
        else:
            label_N = average_linkage(x_N_d, tie_N, k=max(1, int(N / self.mean_size))).label_N
        return label_N[ev.rows("candidates")]
