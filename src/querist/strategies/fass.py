"""Filtered active submodular selection: of the most uncertain rows, those that represent them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need, Probs
from querist.kernels import scores
from querist.kernels.coverage import cosine, greedy_cover
from querist.kernels.likeness import Likeness
from querist.kernels.representatives import complete
from querist.kernels.top import top_b
from querist.seeds import Key
from querist.strategies._submodular import SetFunction, directed
from querist.strategies.base import Picks, State, Strategy, register, require_between
from querist.strategies.disparity_min import DisparityMin
from querist.strategies.disparity_sum import DisparitySum
from querist.strategies.feature_based import FeatureBased
from querist.strategies.graph_cut import GraphCut
from querist.strategies.log_det import LogDet

UNCERTAINTY: dict[str, Callable[[Array], Array]] = {
    "entropy": scores.entropy, "margin": scores.margin, "least_confidence": scores.least_confidence,
}  # fmt: skip
OTHERS: dict[str, SetFunction] = {
    "feature_based": FeatureBased(), "graph_cut": GraphCut(), "log_det": LogDet(), "disparity_min": DisparityMin(),
    "disparity_sum": DisparitySum(),
}  # fmt: skip


@register(
    "fass",
    cite="Wei, Iyer & Bilmes, ICML 2015",
    presets={"S4": {"beta": 5.0, "uncertainty": "entropy", "function": "facility_location", "space": "embeddings"}},
)
@dataclass(frozen=True, kw_only=True)
class Fass(Strategy):
    """Wants, of the ``beta * b`` most uncertain rows, the `b` that a set function of those rows likes best.

    Rule: filter by uncertainty, then greedy. With facility location, ``f(A) = sum_i max_(j in A) s_ij`` over the rows
    that passed the filter, ``s = (1 + cos) / 2``. With beta = 1 it is the uncertainty score alone; with a beta that
    lets every row pass, the set function alone.

    Use when: batches are large and a trained model is there, so that the most uncertain rows are full of near-copies.

    Avoid when: the model is poor: uncertain rows are then any rows, and coverage of the whole pool does better.

    Pitfalls: what is labelled has no part in the second stage. A large beta lets rows pass that the model knows, a
    small one leaves nothing to choose.

    Attributes:
        beta: rows that pass the filter, per pick; at most all.
        uncertainty: what filters.
        function: what picks, with its own defaults.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
    """

    family: ClassVar = "submodular"
    regimes: ClassVar = ("M", "H")
    beta: float = 5.0
    uncertainty: Literal["entropy", "margin", "least_confidence"] = "entropy"
    function: Literal[
        "facility_location", "feature_based", "graph_cut", "log_det", "disparity_min", "disparity_sum"
    ] = "facility_location"
    space: Literal["auto", "features", "embeddings"] = "auto"
    needs: ClassVar = (Probs(), Features())

    def __post_init__(self) -> None:
        require_between(self, 1.0, float("inf"), "beta")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(), Embeddings()) if self.space == "embeddings" else self.needs

    def reason(self, utility: float) -> str:
        return f"among the rows that the model is least sure of, it adds {utility:.3g} to the batch"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        uncertain_n, tie_n = UNCERTAINTY[self.uncertainty](ev[Probs()]), key.hash(ev.candidates)
        # Ascending, as evidence has its rows: the set function may depend on their order by rounding.
        passed = np.sort(top_b(uncertain_n, tie_n, min(len(tie_n), ceil(self.beta * b))))
        x_m_d = unit_rows(ev[Embeddings()][passed]) if self.space == "embeddings" else ev[Features()][passed]
        rows, gain = self._best(Likeness(directed(x_m_d)), ev.candidates[passed], b, key)
        return Picks(passed[rows], gain)

    def _best(self, likeness: Likeness, ids: Ids, b: int, key: Key) -> tuple[Rows, Array]:
        if self.function != "facility_location":
            return OTHERS[self.function].best(likeness, ids, b, key)
        (x_m_d,) = likeness.factors
        none, open_m, tie_m = np.empty(0, np.intp), np.ones(len(ids), np.bool_), key.hash(ids)
        rows, gain = greedy_cover(x_m_d, cosine(), none, open_m, tie_m, b)
        return complete(x_m_d, rows, none, open_m, tie_m, b), np.append(gain, np.zeros(b - len(gain)))
