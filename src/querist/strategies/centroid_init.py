"""The initial pool of DropQuery: k-means medoids."""

from dataclasses import dataclass
from typing import ClassVar

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import representatives_of_all
from querist.seeds import Key
from querist.strategies._kmeans import KMeansStrategy
from querist.strategies.base import Picks, register


@register("centroid_init", cite="Gupte et al., TMLR 2024", presets={"paper": {"iterations": 100, "restarts": 1}})
@dataclass(frozen=True, kw_only=True)
class CentroidInit(KMeansStrategy):
    """Wants one row per k-means cluster of unlabelled rows, the nearest to the centre: an initial pool.

    The authors take as many clusters as classes, times one, two, ... labels per class. Labels that there are do not
    matter. Clusters left empty are replaced by the rows farthest from all picks. It is `kmeans_single_batch` with
    other settings, and without the claim that it chooses a whole budget.

    Use when: the very first labels are bought: one or two per class, on frozen features.

    Avoid when: there are labels already, which it does not look at.

    Pitfalls: the number of clusters is the number of picks; with fewer than the number of classes some class is missed
    for certain.

    Attributes:
        iterations: the most Lloyd iterations per start; every row takes part.
        restarts: starts, of which the one with the lowest inertia is kept.
    """

    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL",)
    iterations: int = 100
    restarts: int = 1
    needs: ClassVar = (Features(),)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_n_d = ev[Features()]
        clusters = kmeans(x_n_d, b, key.generator(), restarts=self.restarts, iterations=self.iterations)
        return Picks(*representatives_of_all(x_n_d, clusters, key.hash(ev.candidates), b))
