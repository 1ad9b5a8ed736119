"""Random draws in equal shares from clusters of the features."""

from dataclasses import dataclass
from typing import ClassVar

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Key
from querist.strategies._groups import Grouped
from querist.strategies.base import Picks, register


@register(
    "cluster_balanced_random",
    cite="Chandra et al. 2020, arXiv 2011.14696",
    presets={"S3": {"clusters": None}, "S3_cifar100": {"clusters": 20}},
)
@dataclass(frozen=True, kw_only=True)
class ClusterBalancedRandom(Grouped):
    """Draws rows at random, the same number from every cluster of the pool.

    Shares of a batch are equal by largest remainder; a cluster without rows left passes its share on. Within a cluster
    the smallest keyed hashes come first, so that with one cluster it is `random`.

    Use when: a random start is wanted that misses no part of the feature space, above all where classes are imbalanced
    and clusters follow them.

    Avoid when: clusters have little to do with classes: rare but irrelevant groups then get as many labels as large
    ones.

    Pitfalls: the labelled set no longer has the class frequencies of the pool, so what is estimated from it as if it
    had, accuracy included, is biased.

    Attributes:
        clusters: number of k-means clusters; None takes one per declared class.
        groups: instead, a file of cluster numbers, one per item; see `Grouped`.
    """

    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")
    needs: ClassVar = (Features(frame="all"),)

    def reason(self, utility: float) -> str:
        return "drawn at random within its cluster, each cluster in turn"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return Picks(self.in_equal_shares(ev, key.hash(ev.candidates), b, key))
