"""A uniform sample over the range of a score: draws from slices of equal count."""

from dataclasses import dataclass, field
from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need
from querist.seeds import Key
from querist.strategies.base import Picks, Scoring, State, Strategy, checked_score, register, require_at_least
from querist.strategies.least_confidence import LeastConfidence


@register(
    "uniform_bins",
    cite="ablation of Munjal et al., CVPR 2022",
    aliases=("uncertainty_uniform_discretize", "centre_of_gravity_bins"),
    presets={
        "uncertainty_uniform_discretize": {"base": "least_confidence", "n_bins": 500, "quota": "ceil"},
        "centre_of_gravity_bins": {"base": "centre_of_gravity", "n_bins": 500, "quota": "ceil"},
        "S2": {"base": "least_confidence", "n_bins": 500, "quota": "ceil"},
    },
)
@dataclass(frozen=True, kw_only=True)
class UniformBins(Strategy):
    """Draws the same number of rows at random from every slice of a score, whether it is high or low.

    Candidates are sorted by score and cut into `n_bins` slices of equal count (sizes differ by one at most). With
    ``largest_remainder`` slices take turns in a random order, one draw each, so that shares differ by one at most;
    ``ceil`` takes ``ceil(b / n_bins)`` from one slice after the other, from the highest down, as the authors' code
    does, and with a small batch never reaches the lowest. Propensities are exact, given the slices.

    Use when: labels should represent the whole range of a score, e.g. to calibrate it or to audit a model.

    Avoid when: the budget is small and should go where the model is unsure.

    Pitfalls: with more slices than picks most slices give nothing; ``ceil`` leaves the lowest slices out on purpose.

    Attributes:
        base: what scores the rows.
        n_bins: number of slices, 500 as the authors'; never more than there are candidates.
        quota: how a batch is shared among slices.
    """

    base: Scoring = field(default_factory=LeastConfidence)
    n_bins: int = 500
    quota: Literal["largest_remainder", "ceil"] = "largest_remainder"
    family: ClassVar = "wrapper"
    regimes: ClassVar = ("M", "H")

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_bins")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return self.base.needs_at(state)

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return self.base.wants_at(state)

    def reason(self, utility: float) -> str:
        return f"drawn at random among items of like score: {self.base.reason(utility) or f'{utility:.3g}'}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        score_n, ids = checked_score(self.base, ev), ev.candidates
        n, bins = len(ids), min(self.n_bins, len(ids))
        slices = np.array_split(np.lexsort((key.hash(ids), -score_n)), bins)
        size = np.array([len(rows) for rows in slices])
        drawn_n = key.child("members").hash(ids)
        order = np.concatenate([rows[np.argsort(drawn_n[rows])] for rows in slices])
        slice_n = np.repeat(np.arange(bins), size)
        lap_n = np.arange(n) - np.repeat(np.cumsum(size) - size, size)
        in_turn = self.quota == "largest_remainder"
        each = 1 if in_turn else ceil(b / bins)
        turn = key.child("bins").hash(np.arange(bins)).argsort().argsort() if in_turn else np.arange(bins)
        picked = np.lexsort((lap_n, turn[slice_n], lap_n // each))[:b]
        # In the first lap the next slice is any of those that had no turn; later laps repeat the order of the first.
        opening = np.where((lap_n[picked] == 0) & in_turn, bins - np.arange(b), 1)
        rows = order[picked]
        return Picks(rows, score_n[rows], 1.0 / (opening * (size[slice_n] - lap_n)[picked]))
