"""Entropy of a fresh linear head on frozen features."""

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

from querist.arrays import Array
from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels, Need, Probs
from querist.kernels import scores
from querist.kernels.inner import scores as inner_products, softmax
from querist.kernels.logistic import fit_logistic
from querist.strategies.base import Scoring, State, register


@register("linear_probe_entropy", cite="Pourahmadi et al. 2021, arXiv 2110.12033")
@dataclass(frozen=True, kw_only=True)
class LinearProbeEntropy(Scoring):
    """Wants the rows whose class a linear head, fitted anew on the frozen features of the labelled rows, knows least.

    Identity: ``u_i = H(p_i)`` in nats, ``p_i`` of the penalised logistic regression at its optimum, whatever learner
    the session trains. Equals `entropy` under the learner `linear` with the same penalty. A class without labels has
    probability 0. The paper's head is trained with Adam for 100 epochs on augmented images; ours is the optimum on the
    features as they are, and has no seed.

    Use when: the learner is slow or a black box, good frozen features are at hand, and labels are tens per class.

    Avoid when: classes are many and labels few: entropy of a head on one label per class is noise.

    Pitfalls: the head that selects is not the model that is tested, unless that is linear with the same penalty; what
    the model finds easy may be bought because the probe does not.

    Attributes:
        penalty: inverse strength C of the penalty, as in the learner `linear`.
    """

    family: ClassVar = "uncertainty"
    regimes: ClassVar = ("M", "H")
    penalty: float = 20.0
    needs: ClassVar = (Features(), Features(frame="labelled"), Labels())

    def __post_init__(self) -> None:
        if not 0.0 < self.penalty < inf:
            raise SpecError(f"Expected penalty to be positive and finite, got {self.penalty}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        # Without labels there is no head: the plan then refuses, as it does for a rule that needs a model.
        return self.needs if state.n_labelled else (Probs(), *self.needs)

    def reason(self, utility: float) -> str:
        return f"a linear head on the features is unsure by an entropy of {utility:.3f} nats"

    def score(self, ev: Evidence) -> Array:
        if not len(ev.labelled):
            raise UsageError(
                "strategy 'linear_probe_entropy' fits a head on labelled rows, and there are none. Label some first, "
                "e.g. those that 'random' or 'typiclust' picks."
            )
        head = fit_logistic(ev[Features(frame="labelled")], ev[Labels()], ev.c, self.penalty)
        return scores.entropy(softmax(inner_products(ev[Features()], head.coef) + head.intercept))
