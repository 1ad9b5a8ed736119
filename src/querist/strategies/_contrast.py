"""What rankings by the course of a contrastive pre-training share: pseudo-classes, taken in turn."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need, PretrainTrace
from querist.seeds import Key
from querist.strategies._dynamics import WORDS, Kind, difficulty
from querist.strategies._groups import Grouped
from querist.strategies._stored import stored_rows
from querist.strategies.base import Picks, State, card_of, require_between


@dataclass(frozen=True, kw_only=True)
class Contrast(Grouped):
    """Wants, of every pseudo-class in turn, the rows at one end of the course of a contrastive pre-training.

    Attributes:
        temperature: at which the pre-training recorded the probability of an item's own other view.
        dynamics: instead of the session's encoder, a file of these probabilities, a row per item and a column per
            epoch; see `stored_rows` for its forms.
        clusters: pseudo-classes, by k-means of the features; None takes one per declared class.
        groups: instead, a file of cluster numbers, one per item; see `Grouped`.
    """

    kind: ClassVar[Kind]
    temperature: float = 0.1
    dynamics: str | None = None
    clusters: int | None = 30
    files: ClassVar = ("groups", "dynamics")
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 1e-6, 100.0, "temperature")

    @property
    def _trace(self) -> PretrainTrace:
        return PretrainTrace(name=f"contrast_prob_T{self.temperature:g}")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (*super().needs_at(state), *(() if self.dynamics is not None else (self._trace,)))

    def reason(self, utility: float) -> str:
        return WORDS[self.kind].format(utility)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        score_n = difficulty(self._course(ev), self.kind)
        place_n = np.empty(len(score_n), np.uint64)
        place_n[np.lexsort((key.hash(ev.candidates), -score_n))] = np.arange(len(score_n))
        rows = self.in_equal_shares(ev, place_n, b, key)
        return Picks(rows, score_n[rows])

    def _course(self, ev: Evidence) -> Array:
        if self.dynamics is not None:
            return stored_rows(self.dynamics, ev.candidates, (None,), who=f"strategy {card_of(self).name}")
        return ev[self._trace]
