"""ZCore: rows that cover random subspaces of the features and that no near neighbour makes redundant."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.subspaces import subspace_scores
from querist.kernels.top import top_b
from querist.seeds import Key
from querist.strategies.base import Picks, Strategy, register, require_at_least
from querist.strategies.random import without_round


@register(
    "zcore",
    cite="Griffin, Marks & Corso 2024, arXiv 2411.15349",
    presets={"paper": {"rounds": 1_000_000, "per_row": 10, "dims": 2, "neighbours": 1000, "exponent": 4.0}},
)
@dataclass(frozen=True, kw_only=True)
class ZCore(Strategy):
    """Wants the rows most often nearest to random points of random coordinate subspaces, redundant ones discounted.

    In each round the row nearest to a random point scores 1, and its near neighbours lose 1 between them; see
    `subspace_scores`. Every row starts from a random number between 0 and 1, so that rows which no point met come in
    random order. All rows take part, labelled or not, and the ranking is the same in every round of a session:
    smaller budgets are prefixes of larger ones. The constants are those of the authors' code; `per_row` comes from
    a port of theirs, and fewer rounds by default are ours: they are what takes the time.

    Use when: nothing is labelled, features come from a strong general encoder, and the budget is some per cent of the
    pool or more.

    Avoid when: there is room for a few labels per class only: the score looks at two coordinates at a time and knows no
    clusters, for which `typiclust` and `max_herding` are made.

    Pitfalls: the order is a random estimate that settles as rounds grow; features rotated by PCA are other coordinates
    and give another order.

    Attributes:
        rounds: the most random points that are drawn.
        per_row: random points per row, as long as that is fewer.
        dims: coordinates of each subspace.
        neighbours: rows that share the penalty of a round.
        exponent: how fast the penalty falls with the distance.
    """

    rounds: int = 20_000
    per_row: int = 10
    dims: int = 2
    neighbours: int = 1000
    exponent: float = 4.0
    family: ClassVar = "cold start"
    regimes: ClassVar = ("M", "H")
    needs: ClassVar = (Features(frame="all"),)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "rounds", "per_row", "dims", "neighbours")
        if not 0.0 <= self.exponent < float("inf"):
            raise SpecError(f"Expected exponent to be finite and 0 or larger, got {self.exponent}.")

    def reason(self, utility: float) -> str:
        if utility >= 0:
            return f"it covers {utility:.3g} random points more than its neighbours make redundant"
        return f"its neighbours make {-utility:.3g} random points more redundant than it covers"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        key, x_N_d = without_round(key), ev[Features(frame="all")]
        rounds = min(self.rounds, self.per_row * len(x_N_d))
        tie_N = key.hash(ev.all)
        score_N = key.child("start").uniform(ev.all) + subspace_scores(
            x_N_d, tie_N, rounds, key.child("points").generator(),
            dims=self.dims, neighbours=self.neighbours, exponent=self.exponent,
        )  # fmt: skip
        rows = ev.rows("candidates")
        score_n = score_N[rows]
        rows = top_b(score_n, tie_N[rows], b)
        return Picks(rows, np.ascontiguousarray(score_n[rows]))
