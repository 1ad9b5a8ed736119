"""Shares of a batch among groups that take turns."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Hashes, Labels, Rows


def in_turn(
    group_n: Labels, turn_g: npt.NDArray[np.integer], tie_n: Hashes, b: int, *, most: int | None = None
) -> Rows:
    """Return `b` rows, one of each group in turn; a group without rows left is passed over.

    This is apportionment in equal shares by largest remainder: shares differ by at most one while all groups have rows,
    an exhausted group passes its share on, and a smaller batch is a prefix of a larger one.

    Args:
        group_n: group of each row, ``0 <= group < g``.
        turn_g: ``(g,)`` distinct numbers; in every lap groups come in ascending order of them.
        tie_n: within a group the smallest come first.
        b: number of rows.
        most: the most rows of one group; fewer than `b` rows may come back.
    """
    order = np.lexsort((tie_n, group_n))
    start = np.flatnonzero(np.diff(group_n[order], prepend=-1))
    lap = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    if most is not None:
        order, lap = order[lap < most], lap[lap < most]
    return order[np.lexsort((turn_g[group_n[order]], lap))][:b]
