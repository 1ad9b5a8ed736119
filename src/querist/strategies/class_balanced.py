"""A class-balanced version of any strategy: shares of the batch by predicted class, the rarest labels first."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Labels, Need, Probs
from querist.kernels.quotas import water_fill
from querist.seeds import Key
from querist.strategies._parts import needs_of_parts, part_of, together
from querist.strategies.base import Picks, State, Strategy, register
from querist.strategies.margin import Margin


@register("class_balanced", cite="Schroeder et al., small-text, EACL 2023")
@dataclass(frozen=True, kw_only=True)
class ClassBalanced(Strategy):
    """Lets another strategy choose within each predicted class, so that labels per class become as even as they can.

    Candidates are grouped by their most likely class. Of `b` picks class c gets ``q_c``, found by raising the smallest
    ``|L_c| + q_c`` first, as far as the group has rows. The base sees each group as if it were the pool. When all the
    groups that count are used up, the rest of the batch comes from the others. With one class it is the base.

    Use when: classes are imbalanced and the model predicts the rare ones better than chance.

    Avoid when: there are so few labels that predictions are noise, or a class has no label and so is never predicted.

    Pitfalls: shares are balanced by prediction, not by truth; the base cannot compare rows of different groups.

    Attributes:
        base: what chooses within a group.
        ignored: classes of which nothing is wanted as long as others have rows.
    """

    base: Strategy = field(default_factory=Margin)
    ignored: tuple[int, ...] = ()
    family: ClassVar = "wrapper"
    regimes: ClassVar = ("L", "M", "H")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return tuple(dict.fromkeys((*needs_of_parts(self.base.needs_at(state)), Probs(), Labels())))

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return needs_of_parts(self.base.wants_at(state))

    def reason(self, utility: float) -> str:
        return f"few labels are of its predicted class; {self.base.reason(utility)}".removesuffix("; ")

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        have, predicted_n = np.bincount(ev[Labels()], minlength=ev.c), ev[Probs()].argmax(axis=1)
        if unknown := [j for j in self.ignored if not 0 <= j < ev.c]:
            raise SpecError(f"Expected ignored to be classes in 0..{ev.c - 1}, got {unknown}.")
        counts = np.ones(ev.c, np.bool_)
        counts[list(self.ignored)] = False
        size = np.bincount(predicted_n, minlength=ev.c)
        supply = np.where(counts, size, 0)
        tie = key.child("classes").hash(np.arange(ev.c)).argsort().argsort()
        share = water_fill(have, supply, min(b, int(supply.sum())), tie)
        picked, turns = [], []
        for j in np.flatnonzero(share).tolist():
            part = part_of(ev, np.flatnonzero(predicted_n == j), self.base)
            picked.append((part, self.base.select(part.evidence, int(share[j]), key.child("class", j) if j else key)))
            # When its class was the one to raise: at which level, and by which tie at that level.
            turns.append((have[j] + np.arange(share[j])) * ev.c + tie[j])
        if left := b - int(share.sum()):
            part = part_of(ev, np.flatnonzero(~counts[predicted_n]), self.base)
            picked.append((part, self.base.select(part.evidence, left, key.child("rest"))))
            turns.append(np.full(left, np.iinfo(np.int64).max))
        return together(picked, turns)
