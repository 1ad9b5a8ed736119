"""GradMatch with fitted weights: orthogonal matching pursuit on last-layer gradients."""

from dataclasses import dataclass

import numpy as np

from querist.evidence.evidence import Evidence
from querist.kernels.matching import match_weighted
from querist.seeds import Key
from querist.strategies._gradients import Matching
from querist.strategies.base import Picks, register, require_between


@register("grad_match_omp", cite="Killamsetty et al., ICML 2021", presets={"paper": {"ridge": 0.5}})
@dataclass(frozen=True, kw_only=True)
class GradMatchOmp(Matching):
    """Wants rows whose weighted last-layer gradients add up to the gradient of the whole pool.

    Orthogonal matching pursuit: take the row of largest inner product with what is left to match, then fit the weights
    of all picks anew, ``min |T - sum_s w_s g_s|^2 + ridge |w|^2`` with ``w >= 0``. When no product is above 0 the batch
    is completed at random, with utility 0. `querist.kernels.matching.match_weighted` returns the weights, too; no
    learner here trains with them. With ``validation`` results are flagged so.

    Use when: as for `grad_match`, and a few rows should stand for many.

    Avoid when: batches are large: rows that are needed for the match run out, and the rest is random.

    Pitfalls: a large `ridge` keeps weights small and lets near-copies in; with assumed labels the target may be wrong.

    Attributes:
        scaling: the picks are to match ``b`` times (``batch``) or ``n`` times (``pool``) the mean gradient.
        validation: match the gradient of the validation set, with its true labels, instead of that of the pool.
        ridge: strength of the penalty of weights, 0 or larger.
    """

    ridge: float = 0.5

    def __post_init__(self) -> None:
        require_between(self, 0.0, np.inf, "ridge")

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"with it the batch matches the gradient of the pool {utility:.3g} (squared) better"
        return "drawn at random: the batch matches the gradient of the pool as well as it can"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        rows, products, target_c_d = self.problem(ev, b, key)
        picked, gain, _weights = match_weighted(products, target_c_d, b, self.ridge)
        rest = np.setdiff1d(np.arange(len(rows)), picked)
        drawn = rest[np.argsort(key.child("rest").hash(ev.candidates[rows[rest]]))][: b - len(picked)]
        return Picks(rows[np.append(picked, drawn)], np.append(gain, np.zeros(len(drawn))))
