"""DIRECT: finds the threshold that separates each class from the rest, and labels around it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Hashes, Labels as LabelArray
from querist.kernels.one_against_rest import beside, interval, threshold
from querist.seeds import Key
from querist.strategies._one_by_one import OneByOne, line
from querist.strategies.base import register


@register("direct", cite="Nuggehalli et al., ICML 2025", flags=("sequential",))
@dataclass(frozen=True, kw_only=True)
class Direct(OneByOne):
    """Wants, for each class in turn, to learn where it ends, and then the rows beside that threshold.

    All rows stand in order of ``p_k - max p``, those predicted as k first by confidence. Every other question is about
    a random unlabelled row of the interval in which class k may end (`interval`); the ones between ask for the
    unlabelled row nearest to the threshold that agrees with most labels (`threshold`). Classes come in turn, so each
    gets the same share, half of it for either purpose. Every answer counts at once; in a batch the model's predictions
    stand in for answers.

    The authors spend the first half of a class's share, known beforehand, on the interval and shrink it by a schedule;
    with few labels they leave out the frequent classes there. Taking turns needs no budget: a round may end anywhere.

    Use when: some classes are rare, labels are noisy, and answers come one at a time or a few at a time.

    Avoid when: there are more classes than labels to spend, for then most of them get no question.

    Pitfalls: a batch of b costs b rounds of waiting for an answer, so it is no like-for-like rival of rules that choose
    batches. A class the model never ranks high has an interval as long as the pool, and its questions are random draws.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M", "H")

    def reason(self, utility: float) -> str:
        if utility > 0:
            return f"drawn from {utility:.0f} items among which one class may end"
        return f"{-utility:.0f} items lie between it and the place that best separates a class from the rest"

    def ask(self, p_N_c: Array, y_N: LabelArray, tie_N: Hashes, key: Key) -> tuple[int, float]:
        asked = int(np.count_nonzero(y_N >= 0))
        order, mark_N = line(p_N_c, y_N, asked // 2 % p_N_c.shape[1], tie_N)
        tie_N = tie_N[order]
        if asked % 2 == 0:
            start, stop = interval(mark_N)
            unsure = start + np.flatnonzero(mark_N[start:stop] == 0)
            if len(unsure):
                return int(order[unsure[tie_N[unsure].argmin()]]), float(len(unsure))
        bound = threshold(mark_N)
        place = beside(mark_N, bound, tie_N)
        return int(order[place]), -float(place - bound if place >= bound else bound - 1 - place)
