"""TAILOR: a bandit that shares each batch among strategies by the classes their labels turned out to have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Array, Ids, Labels as LabelArray
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import History, Labels, Need
from querist.kernels.thompson import class_values, drawn_arms, replayed
from querist.seeds import Key
from querist.strategies._parts import needs_of_parts, part_of
from querist.strategies.badge import Badge
from querist.strategies.base import Picks, State, Strategy, register
from querist.strategies.composition import flags_of
from querist.strategies.margin import Margin
from querist.strategies.random import Random, without_round


@register("tailor", cite="Zhang et al., NeurIPS 2023", presets={"paper": {"discount": 0.9}})
@dataclass(frozen=True, kw_only=True)
class Tailor(Strategy):
    """Lets, for each pick, the strategy choose that Thompson sampling expects to bring the rarest class.

    A label is worth 1 / (labels its class has), negative for a class with more than half of all labels. For each pick
    and each strategy the class frequencies of its labels are drawn from their posterior, a Dirichlet distribution over
    the classes its picks had, earlier rounds discounted; the strategy with the most valuable draw picks next. The
    strategies choose in the order given, the later ones among the rows that are left. One strategy is that strategy.

    Nothing is remembered between rounds and nothing about the strategies is recorded: the draws of a round depend on
    the session's seed and on the labels of earlier rounds alone, so which strategy made which pick is found by drawing
    again. Only queries of this session count, not its initial pool. Value and discount are those of the authors' code,
    whose prior starts with one more label per class. The default portfolio is ours.

    Use when: classes are imbalanced, nobody knows which strategy finds the rare ones, and there are many rounds.

    Avoid when: classes are balanced, where the reward says little about accuracy, or there are fewer rounds than ten.

    Pitfalls: it rewards variety of classes and not a better model. Within a `schedule`, earlier rounds of other stages
    would be taken for its own.

    Attributes:
        arms: the strategies.
        discount: what a label counts after each further round.
    """

    arms: tuple[Strategy, ...] = (Random(), Margin(), Badge())
    discount: float = 0.9
    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("L", "M", "H")
    needs: ClassVar = (History(), Labels())

    def __post_init__(self) -> None:
        if not self.arms:
            raise SpecError("Expected at least one strategy in arms, got none.")
        if len(self.arms) > 1 and "sequential" in flags_of(self):
            # Between its asks the history has one query more than there were rounds.
            raise SpecError("Expected arms that choose several items at once, got one that asks for them one by one.")
        if not 0.0 <= self.discount <= 1.0:
            raise SpecError(f"Expected discount to be between 0 and 1, got {self.discount}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return tuple(dict.fromkeys((*self.needs, *needs_of_parts(n for arm in self.arms for n in arm.needs_at(state)))))

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return tuple(dict.fromkeys(needs_of_parts(want for arm in self.arms for want in arm.wants_at(state))))

    def reason(self, utility: float) -> str:
        return f"picked by a strategy whose labels are expected to be worth {utility:.3g} each, 1 being a new class"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        labels, past = ev[Labels()], ev[History()].ids
        draws = without_round(key).child("arms")
        seen_a_c, count_c = replayed(
            *by_round(ev.labelled, labels, past, ev.c), len(self.arms), self.discount,
            lambda t: draws.child(t).generator(),
        )  # fmt: skip
        value_c = class_values(count_c)
        arm_b = drawn_arms(seen_a_c, value_c, b, draws.child(len(past)).generator())
        expected_a = (1.0 + seen_a_c) @ value_c / (1.0 + seen_a_c).sum(axis=1)
        rows, left = np.empty(b, np.intp), np.ones(len(ev.candidates), np.bool_)
        for a, arm in enumerate(self.arms):
            turn = np.flatnonzero(arm_b == a)
            if len(turn):
                part = part_of(ev, np.flatnonzero(left), arm)
                picked = arm.select(part.evidence, len(turn), key.child("arm", a) if a else key).rows
                rows[turn] = part.rows[picked]
                left[rows[turn]] = False
        return Picks(rows, expected_a[arm_b])


def by_round(labelled: Ids, labels: LabelArray, past: Sequence[Ids], c: int) -> tuple[list[LabelArray], Array]:
    """Return the labels of the picks of each round, -1 where none came, and the ``(c,)`` counts before the first."""
    rounds = []
    first = np.ones(len(labelled), np.bool_)
    for ids in past:
        place = np.minimum(np.searchsorted(labelled, ids), max(len(labelled) - 1, 0))
        known = labelled[place] == ids if len(labelled) else np.zeros(len(ids), np.bool_)
        first[place[known]] = False
        rounds.append(np.where(known, labels[place] if len(labelled) else -1, -1))
    return rounds, np.bincount(labels[first], minlength=c).astype(np.float64)
