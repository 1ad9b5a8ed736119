"""GradMatch with equal weights: rows whose gradients add up to that of the pool."""

from dataclasses import dataclass

from querist.evidence.evidence import Evidence
from querist.kernels.matching import match
from querist.seeds import Key
from querist.strategies._gradients import Matching
from querist.strategies.base import Picks, register


@register("grad_match", cite="Killamsetty et al., ICML 2021", presets={"S4": {"scaling": "batch"}})
@dataclass(frozen=True, kw_only=True)
class GradMatch(Matching):
    """Wants rows whose last-layer gradients add up to the gradient of the whole pool, each counting once.

    The target is ``T = (b / n) sum_i g_i`` over all candidates, with their most likely classes for labels; greedily,
    the row is taken that leaves the smallest ``|T - sum of picks|``. Gradients are never written out: products with
    what is left to match are kept up to date by those with the last pick. Public text and code of the authors disagree
    about the scale, so it is a setting. With ``validation`` results are flagged so.

    Use when: training on the batch should move the model as training on the whole pool would.

    Avoid when: most rows are predicted with certainty: their gradients are next to 0, and so is the target.

    Pitfalls: with assumed labels the target carries the model's mistakes; rows of large gradient may overshoot it.

    Attributes:
        scaling: the picks are to match ``b`` times (``batch``) or ``n`` times (``pool``) the mean gradient.
        validation: match the gradient of the validation set, with its true labels, instead of that of the pool.
    """

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"its gradient brings the batch {utility:.3g} (squared) closer to the gradient of the pool"
        return "no gradient brings the batch closer to that of the pool; this one takes it least far away"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        rows, products, target_c_d = self.problem(ev, b, key)
        picked, gain = match(products, target_c_d, b)
        return Picks(rows[picked], gain)
