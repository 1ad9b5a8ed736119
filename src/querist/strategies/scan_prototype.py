"""Distance to the prototype of a SCAN cluster as a ranking for the first labels."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.strategies._prototypes import Prototypes
from querist.strategies.base import Scoring, register


@register(
    "scan_prototype",
    cite="clusters: Van Gansbeke et al., ECCV 2020; ranking: a fork of Chandra et al. 2020, arXiv 2011.14696",
    presets={"S3": {"order": "ascending"}},
)
@dataclass(frozen=True, kw_only=True)
class ScanPrototype(Prototypes, Scoring):
    """Wants the rows that are nearest to, or farthest from, the prototype of their cluster.

    Identity: ``d_i = |f_i - mean of the most confident members of its cluster|``.

    Use when: clusters were trained on the pool and are much like the classes: the nearest rows are typical of one.

    Avoid when: clusters are poor, as they were on long-tailed and medical sets: prototypes then mix classes.

    Pitfalls: nothing balances the clusters: one tight cluster may fill the batch; give the scores to
    `cluster_balanced_top` for equal shares. The farthest rows are outliers.

    Attributes:
        order: ``ascending`` takes the nearest rows first, ``descending`` the farthest.
    """

    order: Literal["ascending", "descending"] = "ascending"
    lowest: ClassVar = float("-inf")

    def reason(self, utility: float) -> str:
        return f"it is {abs(utility):.3g} away from the prototype of its cluster"

    def score(self, ev: Evidence) -> Array:
        distance_n = self.distances(ev)[ev.rows("candidates")]
        return distance_n if self.order == "descending" else -distance_n
