"""EPIG: expected predictive information gain."""

from dataclasses import dataclass

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.kernels.targets import most_informative
from querist.seeds import Key
from querist.strategies._targets import OnTargets
from querist.strategies.base import Picks, register


@register("epig", cite="Bickford Smith et al., AISTATS 2023")
@dataclass(frozen=True, kw_only=True)
class Epig(OnTargets):
    """Wants the rows whose label would tell most about the labels of other rows.

    Identity: ``u_i = mean_t I(y_i; y_t) = mean_t [H(pbar_i) + H(pbar_t) - H(mean_k p^(k)_i (x) p^(k)_t)]`` in nats,
    never above `bald`: what the label tells about the model counts as far as it matters to the targets. They are drawn
    from the candidates, never from test items. Exact; rows whose bound cannot reach the best are not evaluated.

    Use when: draws are trustworthy and the pool holds much that the task does not: bald buys outliers, this does not.

    Avoid when: draws are few or independent from row to row, or labels few: the draws then share nothing true.

    Pitfalls: rows are scored one by one, so a batch repeats itself. The targets stand for the inputs the model will
    meet: a pool unlike them misleads it. Twice the draws and twice the targets are each twice the time.

    Attributes:
        k: draws of a stochastic model, or members of a committee, each one function of all rows.
        targets: candidates drawn at random, anew for every query; all of them where there are fewer.
    """

    def reason(self, utility: float) -> str:
        return f"its label would tell {utility:.3g} nats about the label of another item on average"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        draws = ev[Draws(k=self.k, coherent=True)]
        return Picks(*most_informative(draws, self.drawn(ev, key), b, key.hash(ev.candidates)))
