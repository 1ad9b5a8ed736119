"""Shares of a batch that even out what groups have already."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Hashes

Counts = npt.NDArray[np.int64]


def water_fill(have_g: Counts, supply_g: Counts, b: int, tie_g: Hashes | Counts) -> Counts:
    """Return how many of `b` each group gets so that the smallest groups are raised first.

    Identity: what remains of giving one at a time to the group with the smallest ``have + given`` that has supply left,
    ties by smallest `tie_g`. With equal `have` the shares are equal, and the remainder goes by `tie_g`.

    Args:
        have_g: what each group has, ``(g,)``.
        supply_g: the most each group can take.
        b: at most the sum of `supply_g`.
        tie_g: distinct.

    Returns:
        ``(g,)`` shares that sum to `b`.
    """
    low, high = int(have_g.min(initial=0)), int((have_g + supply_g).max(initial=0))
    while low < high:  # the highest level to which b suffices
        level = (low + high + 1) // 2
        if _given(have_g, supply_g, level).sum() <= b:
            low = level
        else:
            high = level - 1
    given_g = _given(have_g, supply_g, low)
    next_g = np.flatnonzero((have_g + given_g == low) & (given_g < supply_g))
    next_g = next_g[np.argsort(tie_g[next_g])]
    given_g[next_g[: b - int(given_g.sum())]] += 1
    return given_g


def _given(have_g: Counts, supply_g: Counts, level: int) -> Counts:
    return np.minimum(np.maximum(level - have_g, 0), supply_g)
