"""GALAXY: bisection between labels that differ, on the line from likely to unlikely rows of a class."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Hashes, Labels as LabelArray
from querist.kernels.one_against_rest import ANYWHERE, bisection
from querist.seeds import Key
from querist.strategies._one_by_one import OneByOne, line
from querist.strategies.base import register


@register("galaxy", cite="Zhang, Katz-Samuels & Nowak, ICML 2022", presets={"paper": {}}, flags=("sequential",))
@dataclass(frozen=True, kw_only=True)
class Galaxy(OneByOne):
    """Wants the middle of the shortest run of unlabelled rows between labels that differ, for a class drawn at random.

    All rows stand in order of ``p_k - max p``, those predicted as k first by confidence. Where a labelled row of class
    k and one of another class stand beside each other with unlabelled rows between, the boundary is among these. Once
    every such pair is adjacent, the unlabelled row nearest to one is asked; without such a pair a random one. Two
    classes share one line. Every answer counts at once; in a batch the model's predictions stand in for answers.

    Use when: some classes are rare and answers come one at a time, so that each can steer the next question.

    Avoid when: many items are labelled in parallel, or classes are balanced, where margin costs a fraction and does as
    well.

    Pitfalls: a batch of b costs b rounds of waiting for an answer, so it is no like-for-like rival of rules that choose
    batches. A wrong label splits a run for good, and bisection goes on in the wrong half.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M", "H")

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"it halves a run of {utility:.0f} items between two labels, somewhere in which one class ends"
        if utility == ANYWHERE:
            return "drawn at random: the labels seen show no class beside another"
        return "it is the unlabelled item nearest to where one class ends"

    def ask(self, p_N_c: Array, y_N: LabelArray, tie_N: Hashes, key: Key) -> tuple[int, float]:
        c = p_N_c.shape[1]
        # Addressed by the number of labels: another class in turn even if every ask brings the same key.
        drawn = key.child("class", int(np.count_nonzero(y_N >= 0))).uniform(np.zeros(1, np.int64))
        order, mark_N = line(p_N_c, y_N, int(drawn[0] * c) if c > 2 else 0, tie_N)
        place, length = bisection(mark_N, tie_N[order])
        return int(order[place]), float(length)
