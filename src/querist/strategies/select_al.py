"""SelectAL: a low-budget rule, a high-budget rule or random, by which labels would be missed the most."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Array, Labels as LabelArray, Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Factors, Gradients, Head, Labels, Need, Probs, Refit
from querist.seeds import Key
from querist.strategies.base import Picks, State, Strategy, register, require_at_least
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.strategies.typiclust import TypiClust

REFIT = Refit(frame="labelled")

UNJUDGED = 2.0
"""The utility of a pick where there were too few labels to compare; a difference of two error rates is at most 1."""


@register("select_al", cite="Hacohen & Weinshall, NeurIPS 2023")
@dataclass(frozen=True, kw_only=True)
class SelectAL(Strategy):
    """Lets that of two rules choose whose kind of labels the model would miss the most.

    Of the labelled rows, as if they were a pool, each rule picks as many, and as many are drawn at random. Each of the
    three subsets in turn is left out, the learner is fitted again fold by fold, and its errors on the labels held out
    are counted. The rule whose subset was missed more than the random one, and the most, chooses the batch; if neither
    was, it is drawn at random. Before there are two labels per fold the low-budget rule chooses.

    Everything is judged on bought labels. A rule that reads probabilities sees, of labelled rows, those of fits without
    their fold; draws and embeddings are those of the model, which did see their labels. That subsets are left out is
    the paper's; their size, folds and repetitions are ours.

    The utility of every pick is the difference that decided, in errors per label: positive where the low-budget rule
    chose, negative where it was the high-budget rule, 0 for random.

    Use when: it is not known whether the budget is low or high for the task, and the learner is refitted in
    milliseconds, as on frozen features.

    Avoid when: the learner takes seconds to fit: a decision takes 65 fits by default.

    Pitfalls: with few labels the errors differ by one or two, and the decision changes from round to round; the share
    left out must be large enough to be missed.

    Attributes:
        low: the rule for low budgets.
        high: the rule for high budgets.
        share: share of the labels that is left out.
        folds: of the cross-validation.
        repeats: how often it is repeated, with other folds and another random subset.
    """

    low: Strategy = field(default_factory=TypiClust)
    high: Strategy = field(default_factory=Margin)
    share: float = 0.2
    folds: int = 5
    repeats: int = 4
    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL", "L", "M", "H")
    needs: ClassVar = (REFIT, Labels())

    def __post_init__(self) -> None:
        require_at_least(self, 2, "folds")
        require_at_least(self, 1, "repeats")
        if not 0.0 < self.share <= 0.5:
            raise SpecError(f"Expected share to be above 0 and at most 0.5, got {self.share}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        low = self.low.needs_at(state)
        if not state.has_model:
            return low
        both = (*low, *self.high.needs_at(state))
        again = (need.on("labelled") for need in both if need.frame == "candidates" and not _is_made(need))
        return tuple(dict.fromkeys((*self.needs, *both, *again)))

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return tuple(dict.fromkeys((*self.low.wants_at(state), *self.high.wants_at(state))))

    def reason(self, utility: float) -> str:
        if utility == UNJUDGED:
            return "there are too few labels to compare rules, so the one for low budgets chose"
        if utility == 0.0:
            return "drawn at random: labels of neither rule would be missed more than random ones"
        rule = "low" if utility > 0 else "high"
        return (
            f"chosen by the rule for {rule} budgets: without labels of its kind {abs(utility):.1%} more of the labels "
            "held out are mistaken than without random ones"
        )

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        utility = self.decide(ev, key.child("decide"))
        rule = Random() if utility == 0.0 else self.low if utility > 0 else self.high
        return Picks(rule.select(ev, b, key).rows, np.full(b, utility))

    def decide(self, ev: Evidence, key: Key) -> float:
        """Return what the utility of every pick is: which rule chooses, and by how much."""
        l = len(ev.labelled)
        if REFIT not in ev.needs or l < 2 * self.folds:
            return UNJUDGED
        y_l, refit, m = ev[Labels()], ev[REFIT], max(1, round(self.share * l))
        fold_l = self._folds(ev, key.child("unseen"))
        p_l_c = np.empty((l, ev.c))
        for f in range(self.folds):
            p_l_c[fold_l == f] = refit(np.flatnonzero(fold_l != f))[fold_l == f]
        pools = (as_pool(ev, rule, p_l_c) for rule in (self.low, self.high))
        low, high = (
            rule.select(pool, m, key.child(name)).rows
            for rule, pool, name in zip((self.low, self.high), pools, ("low", "high"), strict=True)
        )
        wrong = np.zeros(3, np.int64)
        for r in range(self.repeats):
            fold_l = self._folds(ev, key.child("folds", r))
            drawn = np.argsort(key.child("random", r).hash(ev.labelled))[:m]
            wrong += [self._mistakes(y_l, ev, fold_l, left_out) for left_out in (low, high, drawn)]
        low_hurts, high_hurts = (int(wrong[i] - wrong[2]) / (self.repeats * l) for i in (0, 1))
        if max(low_hurts, high_hurts) <= 0.0:
            return 0.0
        return low_hurts if low_hurts >= high_hurts else -high_hurts

    def _folds(self, ev: Evidence, key: Key) -> Rows:
        """Return the fold of each labelled row; sizes differ by one at most."""
        return np.argsort(np.argsort(key.hash(ev.labelled))) % self.folds

    def _mistakes(self, y_l: LabelArray, ev: Evidence, fold_l: Rows, left_out: Rows) -> int:
        """Return how many labels are mistaken by fits without their fold and without some rows."""
        kept_l = np.ones(len(y_l), np.bool_)
        kept_l[left_out] = False
        wrong = 0
        for f in range(self.folds):
            fitted = np.flatnonzero(kept_l & (fold_l != f))
            # With nothing to fit every label of the fold counts as mistaken.
            predicted_l = ev[REFIT](fitted).argmax(axis=1) if len(fitted) else np.full(len(y_l), -1)
            wrong += int((predicted_l != y_l)[fold_l == f].sum())
        return wrong


def as_pool(ev: Evidence, rule: Strategy, p_l_c: Array) -> Evidence:
    """Return the labelled rows as evidence on an unlabelled pool: what a rule needs to pick among them.

    Args:
        ev: about candidates and labelled rows.
        rule: what is to pick.
        p_l_c: probabilities of the labelled rows under models that did not see their labels.
    """
    values: dict[Need[Any], Any] = {}
    for need in rule.needs_at(State(round=1, n_labelled=len(ev.labelled), has_model=True)):
        match need:
            case Probs(frame="candidates" | "all"):
                values[need] = p_l_c
            case Gradients(frame="candidates"):
                guess = np.eye(ev.c)[p_l_c.argmax(axis=1)]
                values[need] = Factors(p_l_c - guess, ev[need.on("labelled")].embedding)
            case Head():
                values[need] = ev[need]
            case _ if need.frame == "labelled":
                values[need] = need.cut(ev[need], np.empty(0, np.intp))
            case _ if need.frame == "all":
                values[need] = need.cut(ev[need], ev.rows("labelled"))
            case _:
                values[need] = ev[need.on("labelled")]
    return Evidence(ev.labelled, values, c=ev.c)


def _is_made(need: Need[Any]) -> bool:
    """Return whether `as_pool` makes a need of labelled rows from what there is."""
    return isinstance(need, Probs | Head)
