"""ALFA-Mix: representatives of rows whose prediction changes once they are mixed a little with another class."""

from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar, Literal

import numpy as np

from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Head, Labels, Need
from querist.kernels.kmeans import kmeans
from querist.kernels.mixing import class_means, first_change, weights_of
from querist.kernels.representatives import representatives_of_all
from querist.seeds import Key
from querist.strategies._kmeans import KMeansStrategy
from querist.strategies.base import Picks, State, register, require_at_least


@register(
    "alfa_mix",
    cite="Parvaneh et al., CVPR 2022",
    presets={
        "paper": {"cap": 0.2, "levels": 5, "clip": False, "iterations": 300, "restarts": 10},
        "single": {"cap": 0.2, "levels": 1, "clip": False},
    },
)
@dataclass(frozen=True, kw_only=True)
class AlfaMix(KMeansStrategy):
    """Wants one row per k-means cluster of the rows whose prediction changes when they are mixed with a class mean.

    Row z moves by ``eps |z* - z|`` along g, the gradient with respect to z of the cross-entropy with its own
    prediction, for the mean z* of any class among the labelled rows (see `first_change`); g is ``W^T (p - e_yhat)``,
    with W found by asking the learner's linear head. ``eps = cap * t / sqrt(d)`` with t = 1, 2, ... until more rows
    than picks change. These are clustered on unit rows. With fewer than picks, the batch is completed at random.

    Use when: a linear head is trained on good features and has tens of labels per class, so that class means stand for
    their classes.

    Avoid when: labels are very few, for the means are then single rows; or the head is no linear layer, which is
    refused.

    Pitfalls: not clipped, as published, a class mean counts only by how far away it is, and the farthest decides. Where
    the model is certain of nearly all, few rows ever change and most picks are random.

    Attributes:
        cap: step of the mixing, times ``sqrt(d)``; the authors' 0.2.
        levels: how often it may be taken; the authors go on to 1. Other systems take one (preset ``single``).
        clip: keep each share of the mixture within 0..1, as the paper's text says and its code does not do.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        iterations: the most Lloyd iterations per start.
        restarts: starts, of which the one with the lowest inertia is kept.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M")
    cap: float = 0.2
    levels: int = 5
    clip: bool = False
    space: Literal["auto", "features", "embeddings"] = "auto"
    iterations: int = 100
    restarts: int = 1
    needs: ClassVar = (Features(frame="all"), Head(space="features"), Labels())

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "levels")
        if not 0.0 < self.cap < float("inf"):
            raise SpecError(f"Expected cap to be positive and finite, got {self.cap}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        if self.space == "embeddings":
            return (Embeddings(frame="all"), Head(space="embeddings"), Labels())
        return self.needs

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"it is the most central of {utility:.0f} similar items, whose class a small change would turn"
        return "drawn at random, or far from other picks: too few different items change their class when mixed"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        whole, head, _ = self.needs_at(State(has_model=True))
        x_N_d, head = ev[whole], ev[head]
        if not len(ev.labelled):
            raise UsageError(
                "strategy 'alfa_mix' mixes with the means of labelled classes, and no row is labelled. Label some "
                "first, e.g. those that 'random' or 'typiclust' picks."
            )
        anchor_c_d = class_means(x_N_d[ev.rows("labelled")], ev[Labels()], ev.c)
        x_n_d = x_N_d[ev.rows("candidates")]
        eps_t = self.cap * np.arange(1, self.levels + 1) / sqrt(x_n_d.shape[1])
        first_n = first_change(head, weights_of(head, x_n_d), x_n_d, anchor_c_d, eps_t, clip=self.clip)
        changed_t = np.cumsum(np.bincount(first_n, minlength=self.levels))
        level = min(int(np.searchsorted(changed_t, b, side="right")), self.levels - 1)
        rows = np.flatnonzero(first_n <= level)
        picked, utility = rows[:0], np.empty(0)
        if found := min(b, len(rows)):
            x_m_d, tie_m = unit_rows(x_n_d[rows]), key.hash(ev.candidates[rows])
            clusters = kmeans(x_m_d, found, key.generator(), restarts=self.restarts, iterations=self.iterations)
            picked, utility = representatives_of_all(x_m_d, clusters, tie_m, found)
            picked = rows[picked]
        rest = np.setdiff1d(np.arange(len(x_n_d)), picked)
        drawn = rest[np.argsort(key.child("rest").hash(ev.candidates[rest]))][: b - found]
        return Picks(np.append(picked, drawn), np.append(utility, np.zeros(len(drawn))))
