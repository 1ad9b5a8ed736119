"""DropQuery: representatives of the rows whose prediction changes when parts of their features are dropped."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Head, Need
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import representatives_of_all
from querist.seeds import Key
from querist.strategies._kmeans import KMeansStrategy
from querist.strategies.base import Picks, State, register, require_at_least

BLOCK = 2**20
"""Entries of the rows that are dropped from at a time."""


@register(
    "drop_query",
    cite="Gupte et al., TMLR 2024",
    presets={"paper": {"passes": 3, "rho": 0.75, "enough": 25, "masks": "row", "iterations": 100, "restarts": 1}},
)
@dataclass(frozen=True, kw_only=True)
class DropQuery(KMeansStrategy):
    """Wants one row per k-means cluster of the rows about which the head contradicts itself under dropout.

    In each of `passes` passes the head sees features of which a share `rho` was set to 0, and the rest divided by
    ``1 - rho``; ``v_i`` counts the passes that predict another class than for the whole row. Clustered are the rows
    with ``v_i > t`` for the largest t, from half of the passes down to 0, that leaves `enough` rows per pick. With
    fewer such rows than picks, the batch is completed at random. Before there is a model every row is clustered, which
    is `centroid_init`. The head is the learner's own; the authors' has batch normalisation without a scale in front.

    Use when: a linear head on strong frozen features gets its first few labels per class; better than random on both
    sets of our study.

    Avoid when: features are weak or have few dimensions: dropping three quarters of the entries then contradicts
    everything.

    Pitfalls: with few contradictions the pool to cluster is small and part of the batch is drawn at random. The
    published head has batch normalisation, others may need another rho.

    Attributes:
        passes: how often parts are dropped.
        rho: the probability that an entry of a row is dropped.
        enough: rows per pick that are to be clustered.
        masks: whether every ``row`` loses entries of its own, as in the paper, or all lose the same, which makes a pass
            one function of all rows (``shared``).
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        iterations: the most Lloyd iterations per start; every row takes part.
        restarts: starts, of which the one with the lowest inertia is kept.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M")
    passes: int = 3
    rho: float = 0.75
    enough: int = 25
    masks: Literal["row", "shared"] = "row"
    space: Literal["auto", "features", "embeddings"] = "auto"
    iterations: int = 100
    restarts: int = 1
    needs: ClassVar = (Features(), Head(space="features"))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "passes", "enough")
        if not 0.0 <= self.rho < 1.0:
            raise SpecError(f"Expected rho to be 0 or larger and below 1, got {self.rho}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        if not state.has_model:
            return (Features(),)
        return (Embeddings(), self._head) if self.space == "embeddings" else self.needs

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"it is the most central of {utility:.0f} similar items, all unclear to the model if there is one"
        return "no group of unclear items was left to represent; it lies far from the others or is drawn at random"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_n_d = ev[Embeddings() if Embeddings() in ev.needs else Features()]
        rows = np.arange(len(x_n_d))
        if self._head in ev.needs:
            v_n = contradictions(
                ev[self._head], x_n_d, ev.candidates, self.passes, self.rho, key, shared=self.masks == "shared"
            )
            rows = disputed(v_n, self.passes, self.enough * b)
        x_m_d, found = x_n_d[rows], min(b, len(rows))
        picked, utility = rows[:0], np.empty(0)
        if found:
            x_m_d = unit_rows(x_m_d) if self.space == "embeddings" else x_m_d
            clusters = kmeans(x_m_d, found, key.generator(), restarts=self.restarts, iterations=self.iterations)
            tie_m = key.hash(ev.candidates[rows])
            picked, utility = representatives_of_all(x_m_d, clusters, tie_m, found)
            picked = rows[picked]
        rest = np.setdiff1d(np.arange(len(x_n_d)), picked)
        drawn = rest[np.argsort(key.child("rest").hash(ev.candidates[rest]))][: b - found]
        return Picks(np.append(picked, drawn), np.append(utility, np.zeros(len(drawn))))

    @property
    def _head(self) -> Head:
        return Head(space="embeddings" if self.space == "embeddings" else "features")


def contradictions(
    head: Callable[[Array], Array], x_n_d: Array, ids: Ids, passes: int, rho: float, key: Key, *, shared: bool = False
) -> Rows:
    """Return ``(n,)``: in how many passes the head predicts another class once entries are dropped.

    Args:
        head: rows ``(m, d)`` to logits ``(m, c)``.
        x_n_d: whole rows.
        ids: of the rows; what a row loses depends on its id and not on its place.
        passes: how often entries are dropped.
        rho: the probability that an entry is dropped, below 1.
        key: where the draws come from.
        shared: drop the same entries of all rows.
    """
    n, d = x_n_d.shape
    v_n = np.zeros(n, np.intp)
    step = max(1, BLOCK // d)
    for start in range(0, n, step):
        x_m_d, id_m = x_n_d[start : start + step], ids[start : start + step]
        predicted_m = head(x_m_d).argmax(axis=1)
        for pass_ in range(passes):
            # Every entry of every row has a number of its own.
            entry = np.arange(d) if shared else id_m[:, None] * d + np.arange(d)
            kept = key.child("dropped", pass_).uniform(entry) >= rho
            partial_m_d = np.where(kept, x_m_d / (1.0 - rho), 0.0).astype(x_m_d.dtype)
            v_n[start : start + step] += head(partial_m_d).argmax(axis=1) != predicted_m
    return v_n


def disputed(v_n: Rows, passes: int, wanted: int) -> Rows:
    """Return the rows with more than t contradictions, t from half of the passes down to 0 until there are enough."""
    t = passes // 2
    while t > 0 and np.count_nonzero(v_n > t) < wanted:
        t -= 1
    return np.flatnonzero(v_n > t)
