"""What strategies that ask about the predictions of other rows, the targets, have in common."""

from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Draws, Need
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import representatives_of_all
from querist.seeds import Key
from querist.strategies.base import Picks, State, Strategy, require_at_least


@dataclass(frozen=True, kw_only=True)
class OnTargets(Strategy):
    """How many draws are asked for, and how many candidates stand for the inputs the model will meet.

    Attributes:
        k: draws of a stochastic model, or members of a committee, each one function of all rows.
        targets: candidates drawn at random, anew for every query; all of them where there are fewer.
    """

    k: int = 25
    targets: int = 200
    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")

    def __post_init__(self) -> None:
        require_at_least(self, 2, "k")
        require_at_least(self, 1, "targets")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Draws(k=self.k, coherent=True),)

    def drawn(self, ev: Evidence, key: Key) -> Rows:
        """Return rows of the candidates that are targets, in the order of a hash of their ids."""
        return np.argsort(key.child("targets").hash(ev.candidates))[: self.targets]


@dataclass(frozen=True, kw_only=True)
class Core(OnTargets):
    """A score by target, as a batch.

    Attributes:
        k: draws of a stochastic model, or members of a committee, each one function of all rows.
        targets: candidates drawn at random, anew for every query; all of them where there are fewer.
        batch: ``diverse`` takes the medoids of a k-means clustering of the best rows by what they would tell about each
            target; ``top`` takes the best. One pick is always the best.
        share: of the candidates, the best by their total that are clustered; at least as many as picks.
        iterations: the most Lloyd iterations.
    """

    k: int = 5
    targets: int = 600
    batch: Literal["diverse", "top"] = "diverse"
    share: float = 0.1
    iterations: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "iterations")
        if not 0.0 < self.share <= 1.0:
            raise SpecError(f"Expected share to be above 0 and at most 1, got {self.share}.")

    def clustered(self, n: int, b: int) -> int:
        """Return how many rows are clustered."""
        return b if self.batch == "top" or b == 1 else max(b, ceil(self.share * n))

    def medoids(self, ev: Evidence, rows: Rows, value: Array, told_r_t: Array, b: int, key: Key) -> Picks:
        """Return `b` of `rows`, ascending: one for every cluster of what they tell, largest first, then farthest-first.

        Args:
            ev: whose candidates.
            rows: that may be picked.
            value: the total score of each.
            told_r_t: their scores by target.
            b: number of picks.
            key: of the clustering; its hash breaks ties.
        """
        # Only the direction counts; a row that tells nothing stays at the origin.
        x_r_t = unit_rows(told_r_t)
        clusters = kmeans(x_r_t, b, key.generator(), iterations=self.iterations)
        picked, stands_for = representatives_of_all(x_r_t, clusters, key.hash(ev.candidates[rows]), b)
        return Picks(rows[picked], np.where(stands_for > 0, value[picked], 0.0))
