"""ProbCover: balls of one radius that cover as many rows as possible."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array
from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.certificate import Certificate, most_possible
from querist.kernels.coverage import top_hat
from querist.kernels.kmeans import kmeans
from querist.kernels.radius_graph import cover_greedily, left_to_cover, pure_radius, radius_graph
from querist.seeds import Key
from querist.strategies._coverage import COVERED, Covering, completed
from querist.strategies._whole import places
from querist.strategies.base import Picks, card_of, register

BALLS = 4096
"""The most balls whose purity is looked at; with more rows than that, as many drawn at random."""

DEGREE = 512
"""With more neighbours per row than that no graph is kept, 4 kB per row; the same picks then take longer."""


@register(
    "prob_cover",
    cite="Yehuda et al., NeurIPS 2022",
    presets={
        "paper": {"delta": None, "purity": 0.95},
        "cifar10_simclr": {"delta": 0.75}, "cifar10_scan": {"delta": 0.55}, "cifar10_dino": {"delta": 0.6},
        "cifar100": {"delta": 0.5}, "imagenet100": {"delta": 0.55}, "tiny_imagenet": {"delta": 0.55},
    },
)  # fmt: skip
@dataclass(frozen=True, kw_only=True)
class ProbCover(Covering):
    """Wants the row whose ball holds the most rows that no ball around anything labelled or picked holds yet.

    Identity: ``gain(x) = #{n: |f_n - f_x| < delta}`` over rows n outside all balls so far, on unit-norm features;
    `max_herding` with a top-hat kernel. Very sensitive to the radius, and made for very small budgets: once all is
    covered, the rest of the batch is farthest-first.

    Use when: there is about one label per class and a radius is known that fits the features.

    Avoid when: the radius must be estimated: undecided on UC Merced and worse than random on CIFAR-10 in our study; or
    the budget is large.

    Pitfalls: everything depends on delta: too large and all is covered at once, too small and every ball holds one row.
    The rest of the batch is then farthest-first.

    Attributes:
        delta: radius of the balls; None takes the largest one, up to 1, at which a share `purity` of them is pure.
        purity: share of balls that must hold a single k-means cluster, there being as many clusters as classes.
        limit: rows up to which all pairs are looked at; see `Covering`.
    """

    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL",)
    delta: float | None = None
    purity: float = 0.95
    needs: ClassVar = (Features(frame="all"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delta is not None and not 0.0 < self.delta < float("inf"):
            raise SpecError(f"Expected delta to be positive and finite, or None, got {self.delta}.")
        if not 0.0 < self.purity <= 1.0:
            raise SpecError(f"Expected purity to be above 0 and at most 1, got {self.purity}.")

    def reason(self, utility: float) -> str:
        return f"its ball holds {utility:.0f} rows that no other ball holds" if utility else COVERED

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d, labelled = ev[Features(frame="all")], ev.rows("labelled")
        delta = self._pure(x_N_d, ev.c, key) if self.delta is None else self.delta
        graph = None
        if len(x_N_d) <= self.limit:
            graph = radius_graph(x_N_d, delta, most=DEGREE * len(x_N_d) // 2)
        if graph is None:
            return self.covering(ev, x_N_d, top_hat(delta), b, key)
        rows, fresh = cover_greedily(graph, labelled, places(ev) >= 0, key.hash(ev.all), b)
        added = float(fresh.sum())
        left = left_to_cover(graph, np.append(labelled, rows), b)
        most = min(left_to_cover(graph, labelled, b), most_possible(added, left, b))
        certificate = Certificate(added, most, graph.size, graph.size, 1.0)
        return completed(ev, x_N_d, rows, fresh.astype(np.float64), b, key, certificate)

    def _pure(self, x_N_d: Array, c: int, key: Key) -> float:
        """Return the radius that the purity of k-means clusters asks for."""
        if c < 2:
            name = card_of(self).name
            raise UsageError(f"{name} finds its radius by the number of classes: pass classes=C, or set its delta.")
        generator = key.child("radius").generator()
        label_N = kmeans(x_N_d, min(c, len(x_N_d)), generator).label_N
        rows = np.arange(len(x_N_d))
        if len(rows) > BALLS:
            rows = np.sort(generator.choice(rows, BALLS, replace=False))
        return min(pure_radius(x_N_d, label_N, self.purity, rows), 1.0)
