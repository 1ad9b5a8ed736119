"""Robust k-center: the smallest radius that covers all but a few outliers, by integer programming."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need
from querist.kernels.owners import owners
from querist.kernels.robust_center import robust_k_center
from querist.seeds import Key
from querist.strategies._whole import places
from querist.strategies.base import Picks, State, Strategy, register, require_at_least


@register("k_center_robust", cite="Sener & Savarese, ICLR 2018", presets={"paper": {"outliers": 1e-4}})
@dataclass(frozen=True, kw_only=True)
class KCenterRobust(Strategy):
    """Wants the picks for which the radius that covers all but a share of the rows is as small as possible.

    Minimises ``r`` such that at most ``outliers * N`` rows lie farther than r from everything labelled or picked: by
    bisection over the distances below that of greedy picks, each step an integer programme (HiGHS). Larger programmes
    than `pairs` allows are not tried; the picks are then those of `k_center_greedy`, and the reasons say so.

    Use when: the pool has up to a few thousand rows, a batch covers it with small balls, and outliers must not be
    picked for being far away.

    Avoid when: the pool is large or the batch small, so that every ball holds much of the pool: it is k_center_greedy
    then, in more time.

    Pitfalls: many batches have the same radius, and the programme is content with any. A radius that the solver leaves
    undecided within `nodes` counts as impossible; the radius found is then not proved smallest.

    Attributes:
        outliers: share of the rows that need not be covered, rounded down to whole rows.
        pairs: the most pairs of rows that lie within the greedy radius of each other.
        nodes: the most nodes of a search tree; 1 is what the solver finds without branching.
        tolerance: the radius is sought up to this share of itself.
        seconds: the most that all programmes of a batch may take. When they are over it is an error, because picks must
            not depend on a clock.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        normalise: divide rows by their norm first.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("VL", "L")
    outliers: float = 1e-4
    pairs: int = 100_000
    nodes: int = 1
    tolerance: float = 0.02
    seconds: float = 600.0
    space: Literal["auto", "features", "embeddings"] = "auto"
    normalise: bool = False
    needs: ClassVar = (Features(frame="all", normalise=False),)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "pairs", "nodes")
        for name in ("outliers", "tolerance"):
            if not 0.0 <= (value := getattr(self, name)) < 1.0:
                raise SpecError(f"Expected {name} to be 0 or larger and below 1, got {value}.")
        if not 0.0 < self.seconds < float("inf"):
            raise SpecError(f"Expected seconds to be positive and finite, got {self.seconds}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (self._need,)

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"it is the nearest pick or label of {utility:.0f} items, in a batch that covers all within a radius"
        return f"picked greedily, for the exact programme was too large: it lies {-utility:.3g} from what is covered"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d, tie_N, place_N = self._points(ev), key.hash(ev.all), places(ev)
        open_N, labelled = place_N >= 0, ev.rows("labelled")
        found = robust_k_center(
            x_N_d, labelled, open_N, tie_N, b, outliers=int(self.outliers * len(x_N_d)), pairs=self.pairs,
            nodes=self.nodes, tolerance=self.tolerance, seconds=self.seconds,
        )  # fmt: skip
        rows = found.rows
        if found.greedy:
            return Picks(place_N[rows], -found.gap)
        owner_N, _ = owners(x_N_d, np.arange(len(x_N_d)), np.append(labelled, rows))
        size = np.bincount(owner_N, minlength=len(labelled) + b)[len(labelled) :]
        order = np.lexsort((tie_N[rows], -size))
        return Picks(place_N[rows[order]], size[order].astype(np.float64))

    @property
    def _need(self) -> Need[Array]:
        if self.space == "embeddings":
            return Embeddings(frame="all")
        return Features(frame="all", normalise=self.normalise)

    def _points(self, ev: Evidence) -> Array:
        x_N_d = ev[self._need]
        return unit_rows(x_N_d) if self.space == "embeddings" and self.normalise else x_N_d
