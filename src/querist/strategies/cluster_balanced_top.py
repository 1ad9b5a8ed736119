"""The best by some score, in equal shares from clusters of the features."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Need, Probs
from querist.seeds import Key
from querist.strategies._groups import Grouped
from querist.strategies._stored import stored_rows
from querist.strategies.base import Picks, Scoring, State, checked_score, register
from querist.strategies.margin import Margin


@register(
    "cluster_balanced_top",
    cite="Chandra et al. 2020, arXiv 2011.14696",
    presets={"S3": {"order": "descending"}},
)
@dataclass(frozen=True, kw_only=True)
class ClusterBalancedTop(Grouped):
    """Wants the rows of the largest (or smallest) score, the same number from every cluster of the pool.

    Shares of a batch are equal by largest remainder; a cluster without rows left passes its share on. The score is that
    of a base strategy, or stored in a file, e.g. the loss of a pre-training; with a file it needs no model.

    Use when: scores are comparable within a cluster but not between clusters, as losses of a pre-training are, or a
    score alone would buy one kind of item only.

    Avoid when: the clusters are not at all like the classes, or the batch is smaller than their number.

    Pitfalls: the top of a loss is full of broken and mislabelled items, and equal shares buy them from every cluster.

    Attributes:
        base: what scores the rows, if no file does.
        scores: a file of scores, one per item; see `stored_rows` for its forms.
        order: ``descending`` takes the largest scores first, ``ascending`` the smallest.
        clusters: number of k-means clusters; None takes one per declared class.
        groups: instead, a file of cluster numbers, one per item; see `Grouped`.
    """

    base: Scoring = field(default_factory=Margin)
    scores: str | None = None
    order: Literal["descending", "ascending"] = "descending"
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L", "M")
    needs: ClassVar = (Features(frame="all"), Probs())
    files: ClassVar = ("groups", "scores")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        base = () if self.scores is not None else self.base.needs_at(state)
        return tuple(dict.fromkeys((*super().needs_at(state), *base)))

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return () if self.scores is not None else self.base.wants_at(state)

    def reason(self, utility: float) -> str:
        which = "largest" if self.order == "descending" else "smallest"
        told = "" if self.scores is not None else self.base.reason(utility)
        return f"its score is among the {which} of its cluster: {told or f'{utility:.3g}'}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        score_n, tie_n = self._score(ev), key.hash(ev.candidates)
        place_n = np.empty(len(score_n), np.uint64)
        place_n[np.lexsort((tie_n, -score_n if self.order == "descending" else score_n))] = np.arange(len(score_n))
        rows = self.in_equal_shares(ev, place_n, b, key)
        return Picks(rows, score_n[rows])

    def _score(self, ev: Evidence) -> Array:
        if self.scores is not None:
            return stored_rows(self.scores, ev.candidates, who="strategy cluster_balanced_top")
        return checked_score(self.base, ev)
