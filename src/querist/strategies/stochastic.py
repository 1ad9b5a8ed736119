"""A stochastic version of any scoring strategy: draws instead of the top of the list."""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Hashes
from querist.errors import ScoreError, SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need
from querist.kernels.gumbel import gumbel_top
from querist.seeds import Key
from querist.strategies.base import Picks, Scoring, State, Strategy, checked_score, register
from querist.strategies.margin import Margin

FLOOR = 1e-12
"""The smallest score a power takes the logarithm of."""

SLACK = 2e-3
"""How far below its lowest value a score may fall by rounding: probabilities may miss a sum of one by 1e-3."""


@register(
    "stochastic",
    cite="Kirsch et al., TMLR 2023",
    aliases=("power_bald", "power_entropy", "power_margin"),
    presets={
        "paper": {"form": "power", "beta": 1.0},
        "power_bald": {"base": "bald", "form": "power"},
        "power_margin": {"base": "margin", "form": "power"},
        "power_entropy": {"base": "entropy", "form": "power"},
    },
)
@dataclass(frozen=True, kw_only=True)
class Stochastic(Strategy):
    """Draws rows without replacement, the more likely the higher their score: batches become less redundant.

    Identity: the top-b of ``log w_i + Gumbel_i`` are `b` draws in proportion to ``w_i``, where ``w_i`` is ``s_i^beta``
    (power), ``exp(beta s_i)`` (softmax) or ``rank_i^-beta`` (softrank). Power counts scores from the lowest value they
    can take, so the margin enters as ``1 - (p_(1) - p_(2))``.

    Use when: a batch is large and its score has no idea of redundancy: noise costs nothing and makes batches diverse.

    Avoid when: single items are asked for, where the top of the base is what the noise only blurs.

    Pitfalls: beta must fit the scale of the score: with power, scores near 0 of a sure model make it greedy again.
    Curves need more repeats.

    Attributes:
        base: what scores the rows.
        form: how a score becomes a weight.
        beta: 0 draws uniformly; the larger, the closer to the top of the base.
    """

    family: ClassVar = "wrapper"
    regimes: ClassVar = ("M", "H")
    base: Scoring = field(default_factory=Margin)
    form: Literal["power", "softmax", "softrank"] = "power"
    beta: float = 1.0

    def __post_init__(self) -> None:
        if not (isfinite(self.beta) and self.beta >= 0.0):
            raise SpecError(f"Expected beta to be a finite number, 0 or larger, got {self.beta}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return self.base.needs_at(state)

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return self.base.wants_at(state)

    def reason(self, utility: float) -> str:
        return f"drawn at random, weighted by a score: {self.base.reason(utility) or f'{utility:.3g}'}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        score_n = checked_score(self.base, ev).astype(np.float64)
        tie_n = key.hash(ev.candidates)
        uniform_n = key.child("gumbel").uniform(ev.candidates)
        rows, probability = gumbel_top(self.beta * self._log_weight(score_n, tie_n), uniform_n, tie_n, b)
        return Picks(rows, score_n[rows], probability)

    def _log_weight(self, score_n: Array, tie_n: Hashes) -> Array:
        if self.form == "softmax":
            return score_n
        if self.form == "softrank":
            rank_n = np.empty(len(score_n))
            rank_n[np.lexsort((tie_n, -score_n))] = np.arange(1, len(score_n) + 1)
            return -np.log(rank_n)
        if self.base.lowest == float("-inf"):
            raise ScoreError(
                f"The form 'power' counts scores from the lowest they can take, and those of "
                f"{type(self.base).__name__} have none. Use form='softmax' or 'softrank'."
            )
        above_n = score_n - self.base.lowest
        if above_n.min() < -SLACK:
            raise ScoreError(
                f"The form 'power' needs scores of {self.base.lowest:g} or larger, got {score_n.min():.4g} from "
                f"{type(self.base).__name__}. Use form='softmax' or 'softrank', or declare its `lowest` score."
            )
        return np.log(np.maximum(above_n, FLOOR))
