"""k-means medoids, batch by batch, labels kept."""

from dataclasses import dataclass
from typing import ClassVar

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import representatives
from querist.seeds import Key
from querist.strategies._kmeans import KMeansStrategy
from querist.strategies._whole import places
from querist.strategies.base import Picks, register


@register(
    "kmeans_multi_batch",
    cite="Pourahmadi et al. 2021, arXiv 2110.12033",
    aliases=("accu_kmeans",),
    presets={"paper": {"iterations": 20, "restarts": 5}, "S0": {"iterations": 20, "restarts": 5}},
)
@dataclass(frozen=True, kw_only=True)
class KMeansMultiBatch(KMeansStrategy):
    """Wants the unlabelled row nearest to the centre of every k-means cluster of labelled and unlabelled rows together.

    As many clusters as picks; a cluster without unlabelled members is replaced by the row farthest from everything
    labelled or picked.

    Use when: the first one or two batches are bought with frozen features: plus 30 points over random at the first 10
    labels of digits.

    Avoid when: there are many batches of the same size: the same number of clusters finds the same places again, and
    the curve stands still.

    Pitfalls: small classes share a cluster with large ones and may get no pick at all.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("VL", "L")
    needs: ClassVar = (Features(frame="all"),)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d = ev[Features(frame="all")]
        place_N = places(ev)
        clusters = kmeans(x_N_d, b, key.generator(), restarts=self.restarts, iterations=self.iterations)
        rows, weight = representatives(x_N_d, clusters, ev.rows("labelled"), place_N >= 0, key.hash(ev.all), b)
        return Picks(place_N[rows], weight)
