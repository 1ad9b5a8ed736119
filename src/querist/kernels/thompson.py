"""Thompson sampling over arms whose rewards are the classes of the labels they bring."""

from collections.abc import Callable, Sequence

import numpy as np

from querist.arrays import Array, Labels, Rows

BLOCK = 2**20
"""Random numbers drawn at a time."""


def class_values(count_c: Array) -> Array:
    """Return ``(c,)``: what one more label of each class is worth, 1 for a class with one label or none.

    The reciprocal of the number of labels a class has, negative for a class that has more than half of all.
    """
    value_c = 1.0 / np.maximum(count_c, 1.0)
    return np.where(2.0 * count_c > count_c.sum(), -value_c, value_c)


def drawn_arms(seen_a_c: Array, value_c: Array, m: int, generator: np.random.Generator) -> Rows:
    """Return the arm of each of `m` picks, ``(m,)``: the one with the largest reward under a draw of its own.

    The classes that an arm brings follow a Dirichlet distribution with parameters ``1 + seen_a_c``; its reward is the
    expected value of a label under one draw from it.

    Args:
        seen_a_c: how many labels of each class each arm brought, possibly discounted.
        value_c: what a label of each class is worth.
        m: number of picks.
        generator: where the draws come from.
    """
    arms, c = seen_a_c.shape
    arm_m = np.zeros(m, np.intp)
    if arms == 1:
        return arm_m
    step = max(1, BLOCK // (arms * c))
    for start in range(0, m, step):
        part = arm_m[start : start + step]
        theta = generator.standard_gamma(1.0 + seen_a_c, size=(len(part), arms, c))
        part[:] = (theta @ value_c / theta.sum(axis=2)).argmax(axis=1)
    return arm_m


def replayed(
    past: Sequence[Labels],
    count_c: Array,
    arms: int,
    discount: float,
    generator: Callable[[int], np.random.Generator],
) -> tuple[Array, Array]:
    """Return what is known after some rounds: ``(arms, c)`` labels that each arm brought, and ``(c,)`` that there are.

    Which arm made which pick is nowhere recorded: it follows from the draws of each round, which follow from the labels
    of the rounds before.

    Args:
        past: for each round the labels of its picks in the order picked; -1 where a label never came.
        count_c: labels of each class before the first round.
        arms: number of arms.
        discount: by which earlier counts are multiplied after every round.
        generator: of the draws of a round.
    """
    count_c, seen_a_c = count_c.astype(np.float64), np.zeros((arms, len(count_c)))
    for t, label_m in enumerate(past):
        arm_m = drawn_arms(seen_a_c, class_values(count_c), len(label_m), generator(t))
        known = label_m >= 0
        seen_a_c *= discount
        np.add.at(seen_a_c, (arm_m[known], label_m[known]), 1.0)
        count_c += np.bincount(label_m[known], minlength=len(count_c))
    return seen_a_c, count_c
