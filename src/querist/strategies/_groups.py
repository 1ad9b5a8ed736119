"""What strategies that balance a batch over clusters share: the clusters, and their turns."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Hashes, Labels, Rows
from querist.errors import UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Need
from querist.kernels.apportion import in_turn
from querist.kernels.kmeans import kmeans
from querist.seeds import Key
from querist.strategies._scorer_card import flags_by_card, require_items
from querist.strategies._stored import stored_rows
from querist.strategies.base import State, Strategy, card_of, require_at_least
from querist.strategies.random import without_round


@dataclass(frozen=True, kw_only=True)
class Grouped(Strategy):
    """Where the clusters of the pool come from.

    Attributes:
        clusters: number of k-means clusters of the features of all rows; None takes one per declared class. The
            clustering is the same in every round of a session.
        groups: instead, a file of cluster numbers, one per item, such as those of a deep clustering or the classes a
            zero-shot model predicts: any numbers, gaps included; see `stored_rows` for its forms.
    """

    clusters: int | None = None
    groups: str | None = None
    files: ClassVar = ("groups",)

    def __post_init__(self) -> None:
        if self.clusters is not None:
            require_at_least(self, 1, "clusters")

    def flags(self) -> frozenset[str]:
        return super().flags() | flags_by_card(self.groups)

    def require_items(self, keys: str, classes: tuple[str, ...]) -> None:
        if self.groups is not None:
            require_items(self.groups, keys, classes, f"strategy {card_of(self).name}")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return () if self.groups is not None else (Features(frame="all"),)

    def group_of(self, ev: Evidence, key: Key) -> Labels:
        """Return ``(n,)``: the cluster of every candidate, numbered from 0 without gaps."""
        name = card_of(self).name
        if self.groups is not None:
            label_n = stored_rows(self.groups, ev.candidates, who=f"strategy {name}")
        else:
            if self.clusters is None and ev.c < 2:
                raise UsageError(f"{name} makes one cluster per class: pass classes=C, or set its clusters.")
            x_N_d = ev[Features(frame="all")]
            k = min(self.clusters or ev.c, len(x_N_d))
            label_n = kmeans(x_N_d, k, without_round(key).child("clusters").generator()).label_N[ev.rows("candidates")]
        return np.unique(label_n, return_inverse=True)[1].astype(np.int64)

    def in_equal_shares(self, ev: Evidence, order_n: Hashes, b: int, key: Key) -> Rows:
        """Return `b` rows, as many of each cluster, those with the smallest `order_n` first within a cluster.

        What is left over goes to clusters in keyed order, and what a small cluster cannot give to the others.
        """
        group_n = self.group_of(ev, key)
        turn_g = key.child("turns").hash(np.arange(group_n.max() + 1)).argsort().argsort()
        return in_turn(group_n, turn_g, order_n, b)
