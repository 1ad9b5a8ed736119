"""Half of the batch from the top of a score, half from its bottom."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need
from querist.kernels.top import top_b
from querist.seeds import Key
from querist.strategies.base import Picks, Scoring, State, Strategy, checked_score, register
from querist.strategies.least_confidence import LeastConfidence


@register(
    "half_mix",
    cite="ablation of Munjal et al., CVPR 2022",
    aliases=("uncertainty_mix",),
    presets={"uncertainty_mix": {"base": "least_confidence"}, "S2": {"base": "least_confidence"}},
)
@dataclass(frozen=True, kw_only=True)
class HalfMix(Strategy):
    """Wants the ``floor(b / 2)`` rows of highest score and the ``ceil(b / 2)`` rows of lowest.

    The highest come first, from the top down, then the lowest, from the bottom up; ties on either side by smallest
    keyed hash. An ablation: does an uncertainty rule owe anything to what it leaves out?

    Use when: you want to know what the confident rows are worth beside the unsure ones, as its authors did.

    Avoid when: you want good labels: half of the budget goes to rows the model is already sure of.

    Pitfalls: it is no uncertainty rule, whatever its other name says; with an odd batch the low side has one more.

    Attributes:
        base: what scores the rows.
    """

    base: Scoring = field(default_factory=LeastConfidence)
    family: ClassVar = "wrapper"
    regimes: ClassVar = ("M", "H")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return self.base.needs_at(state)

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return self.base.wants_at(state)

    def reason(self, utility: float) -> str:
        return f"it is at the top or at the bottom of a score: {self.base.reason(utility) or f'{utility:.3g}'}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        score_n, tie_n = checked_score(self.base, ev), key.hash(ev.candidates)
        high = top_b(score_n, tie_n, b // 2)
        rest = np.setdiff1d(np.arange(len(score_n)), high)
        low = rest[top_b(-score_n[rest], tie_n[rest], b - len(high))]
        rows = np.append(high, low)
        return Picks(rows, score_n[rows])
