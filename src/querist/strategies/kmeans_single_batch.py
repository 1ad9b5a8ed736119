"""k-means medoids of the whole pool, chosen afresh for every budget."""

from dataclasses import dataclass
from typing import ClassVar

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import representatives_of_all
from querist.seeds import Key
from querist.strategies._kmeans import KMeansStrategy
from querist.strategies.base import Picks, register


@register(
    "kmeans_single_batch",
    cite="Pourahmadi et al. 2021, arXiv 2110.12033",
    aliases=("kmeans",),
    presets={"paper": {"iterations": 20, "restarts": 5}, "S0": {"iterations": 20, "restarts": 5}},
    flags=("one_shot",),
)
@dataclass(frozen=True, kw_only=True)
class KMeansSingleBatch(KMeansStrategy):
    """Wants one row per k-means cluster, the nearest to the centre, with as many clusters as the whole budget.

    One-shot: every budget is a selection of its own from the whole pool, and labels of a smaller budget are not
    reused. Clusters left empty are replaced by the rows farthest from all picks.

    Use when: the whole budget is known in advance and small, and frozen features are good: it led the demo on digits by
    3 points.

    Avoid when: labelling goes on afterwards, for a larger budget is another selection and reuses no label.

    Pitfalls: one shot per budget: curves against it must charge each point in full. Picks depend on the random start of
    k-means.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("VL", "L")
    needs: ClassVar = (Features(),)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_n_d = ev[Features()]
        clusters = kmeans(x_n_d, b, key.generator(), restarts=self.restarts, iterations=self.iterations)
        return Picks(*representatives_of_all(x_n_d, clusters, key.hash(ev.candidates), b))
