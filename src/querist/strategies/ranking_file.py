"""A stored ranking, taken from the top."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.strategies._scorer_card import flags_by_card, require_items
from querist.strategies._stored import stored_ranks
from querist.strategies.base import Scoring, register

WHO = "strategy ranking_file"


@register(
    "ranking_file",
    cite="Chandra et al. 2020, arXiv 2011.14696",
    aliases=("determined",),
    presets={"S3": {}},
)
@dataclass(frozen=True, kw_only=True)
class RankingFile(Scoring):
    """Wants the unlabelled rows that come first in a ranking that somebody stored.

    Prefixes are nested, so the ranking defines every budget at once. The file is an array of ids, most wanted first, or
    an .npz archive with such an array ``ids``: each id once, and all of 0..n-1 in an .npy file. A specification records
    what the file holds and not where it lies.

    Use when: an initial pool or an order of labelling was made elsewhere and is to be run as it is.

    Avoid when: the ids of the file may not be positions in this dataset: only a card of ``querist scorer`` beside it
    tells that they are of another one.

    Pitfalls: scores are no ranking; a file of scores belongs in `cluster_balanced_top` with one cluster.

    Attributes:
        path: the file of ids, as ``numpy.save`` writes it.
    """

    path: str
    files: ClassVar = ("path",)
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L", "M", "H")

    def flags(self) -> frozenset[str]:
        return flags_by_card(self.path)

    def require_items(self, keys: str, classes: tuple[str, ...]) -> None:
        require_items(self.path, keys, classes, WHO)

    def reason(self, utility: float) -> str:
        return f"it is number {1 / utility:.0f} of the stored ranking"

    def score(self, ev: Evidence) -> Array:
        return 1.0 / (1.0 + stored_ranks(self.path, ev.all, who=WHO)[ev.rows("candidates")])
