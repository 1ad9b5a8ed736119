"""TypiClust: the most typical point of every cluster that has no label yet."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import complete
from querist.kernels.typicality import typical_rows
from querist.seeds import Key
from querist.strategies._whole import places
from querist.strategies.base import Picks, Strategy, register, require_at_least


@register(
    "typiclust",
    cite="Hacohen, Dekel & Weinshall, ICML 2022",
    presets={
        "paper": {"max_clusters": 500, "min_size": 5, "neighbours": 20, "distance": "plain"},
        "official": {
            "max_clusters": 500, "min_size": 5, "neighbours": 20, "distance": "squared",
            "resort": False, "iterations": 300, "restarts": 10,
        },
    },
)  # fmt: skip
@dataclass(frozen=True, kw_only=True)
class TypiClust(Strategy):
    """Wants, of each cluster with the fewest labels, the unlabelled row of largest typicality.

    k-means with ``K = min(|L| + b, max_clusters)`` on unit-norm features; clusters of at most `min_size` members are
    left out; the others take turns, fewest labels first, then largest. Typicality is 1 / (mean distance to the nearest
    neighbours within the cluster). When the clusters run out, rows farthest from everything labelled or picked complete
    the batch. Made for very small budgets.

    Use when: there are up to a few labels per class and frozen features are good: plus 26 points over random at the
    first 10 labels of digits.

    Avoid when: labels are plenty, for it never looks at the model; or features are raw pixels, where it gained nothing
    on UC Merced and CIFAR-10.

    Pitfalls: clusters of at most 5 members are left out, and with them rare classes. The typical rows of a class teach
    little about its border.

    Attributes:
        max_clusters: the most clusters.
        min_size: clusters with at most as many members are left out.
        neighbours: the most neighbours that typicality averages over; never more than half of the cluster.
        distance: ``plain`` as in the paper, or ``squared``, which reproduces the ranking of the authors' code.
        resort: order the clusters again after every pick instead of once per round.
        iterations: the most Lloyd iterations per start.
        restarts: starts of k-means, of which the best is kept.
    """

    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL", "L")
    max_clusters: int = 500
    min_size: int = 5
    neighbours: int = 20
    distance: Literal["plain", "squared"] = "plain"
    resort: bool = False
    iterations: int = 20
    restarts: int = 1
    needs: ClassVar = (Features(frame="all"),)

    def __post_init__(self) -> None:
        require_at_least(self, 0, "min_size")
        require_at_least(self, 1, "max_clusters", "neighbours", "iterations", "restarts")

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"it is the most typical of a group with few labels, about {1 / utility:.3g} from its neighbours"
        return "it lies far from the others, and no group was left to represent"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d, tie_N, place_N = ev[Features(frame="all")], key.hash(ev.all), places(ev)
        open_N, labelled = place_N >= 0, ev.rows("labelled")
        k = min(len(labelled) + b, self.max_clusters, len(x_N_d))
        clusters = kmeans(x_N_d, k, key.generator(), restarts=self.restarts, iterations=self.iterations)
        rows, typical = typical_rows(
            x_N_d, clusters.label_N, open_N, tie_N, b,
            neighbours=self.neighbours, min_size=self.min_size, distance=self.distance, resort=self.resort,
        )  # fmt: skip
        rows = complete(x_N_d, rows, labelled, open_N, tie_N, b)
        return Picks(place_N[rows], np.append(typical, np.zeros(b - len(typical))))
