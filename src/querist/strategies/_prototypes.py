"""What rankings by the prototypes of a trained clustering share: clusters, prototypes, distances to them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Array
from querist.errors import DataError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Need, PretrainTrace
from querist.strategies._stored import stored_rows
from querist.strategies.base import State, Strategy, card_of, require_at_least


@dataclass(frozen=True, kw_only=True)
class Prototypes(Strategy):
    """Knows how far every row is from the prototype of its cluster.

    Attributes:
        members: how many of the most confident rows of a cluster make its prototype, their mean; at most all.
        memberships: instead of the session's encoder, a file of cluster probabilities, a row per item and a column per
            cluster; see `stored_rows` for its forms.
    """

    members: int = 300
    memberships: str | None = None
    files: ClassVar = ("memberships",)
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")

    def __post_init__(self) -> None:
        require_at_least(self, 1, "members")

    @property
    def _clusters(self) -> PretrainTrace:
        return PretrainTrace(frame="all", name="scan_probs")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Features(frame="all"), *(() if self.memberships is not None else (self._clusters,)))

    def distances(self, ev: Evidence) -> Array:
        """Return ``(N,)`` Euclidean distances of all rows, labelled ones too, to the prototype of their cluster."""
        p_N_k = self._memberships(ev)
        if p_N_k.shape[1] < 2:
            raise DataError(f"{card_of(self).name}: expected probabilities of 2 clusters or more, got one column.")
        x_N_d, cluster_N, sure_N = ev[Features(frame="all")], p_N_k.argmax(axis=1), p_N_k.max(axis=1)
        # By id where confidences are equal: rows of evidence ascend by it, and the prototype is no random thing.
        order = np.argsort(-sure_N, kind="stable")
        distance_N = np.empty(len(x_N_d))
        for cluster in np.unique(cluster_N).tolist():
            chosen = order[cluster_N[order] == cluster]
            prototype_d = x_N_d[chosen[: self.members]].mean(axis=0, dtype=np.float64)
            distance_N[chosen] = np.sqrt(np.square(x_N_d[chosen] - prototype_d).sum(axis=1))
        return distance_N

    def _memberships(self, ev: Evidence) -> Array:
        if self.memberships is not None:
            return stored_rows(self.memberships, ev.all, (None,), who=f"strategy {card_of(self).name}")
        return ev[self._clusters]
