"""Greedy k-center, also known as the core-set approach."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need
from querist.seeds import Key
from querist.strategies._whole import farthest_picks
from querist.strategies.base import Picks, State, Strategy, register


@register(
    "k_center_greedy",
    cite="Sener & Savarese, ICLR 2018",
    aliases=("coreset",),
    presets={
        "paper": {"normalise": False}, "S0": {"normalise": True}, "S1": {"normalise": True},
        "S2": {"normalise": False}, "S3": {"normalise": False}, "S4": {"normalise": False},
    },
)  # fmt: skip
@dataclass(frozen=True, kw_only=True)
class KCenterGreedy(Strategy):
    """Wants the row farthest from everything labelled or picked, again and again.

    Identity: ``argmax_i min_(j in L u S) |x_i - x_j|``; the covering radius is at most twice the best possible.
    Distances are differences in float64, the variant other systems call exact. Attracted by outliers.

    Use when: no region may be left without a label, outliers included, and the features are those of a good task model.

    Avoid when: features are frozen and labels few: it lost 14 to 23 points to random on UC Merced and CIFAR-10.

    Pitfalls: every pick is the most extreme row left, so broken images and outliers are bought first. The scale of
    features decides unless rows are normalised.

    Attributes:
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        normalise: divide rows by their norm first.
        start: the first pick when nothing is labelled: the row nearest to the mean of all, or a random one.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("M", "H")
    space: Literal["auto", "features", "embeddings"] = "auto"
    normalise: bool = False
    start: Literal["mean", "random"] = "mean"
    needs: ClassVar = (Features(frame="all", normalise=False),)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (self._need,)

    def reason(self, utility: float) -> str:
        return f"it lies {utility:.3g} away from everything labelled or picked before"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return farthest_picks(ev, self._points(ev), b, key, self.start)

    @property
    def _need(self) -> Need[Array]:
        if self.space == "embeddings":
            return Embeddings(frame="all")
        return Features(frame="all", normalise=self.normalise)

    def _points(self, ev: Evidence) -> Array:
        x_N_d = ev[self._need]
        return unit_rows(x_N_d) if self.space == "embeddings" and self.normalise else x_N_d
