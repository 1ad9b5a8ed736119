"""Shares of a batch among groups that take turns."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Hashes, Labels, Rows


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


def in_proportion(share_g: Array, room_g: npt.NDArray[np.integer], b: int) -> npt.NDArray[np.intp]:
    """Return ``(g,)`` whole numbers that add up to `b`, in proportion to `share_g` and none above `room_g`.

    Largest remainder: every group gets its quota rounded down, and the groups with the largest remainders one more;
    among equal remainders the first ones. Groups whose quota exceeds their room are filled, and what they cannot take
    is shared by the others in proportion. With room enough, shares that never rise give numbers that never rise.

    Args:
        share_g: 0 or larger.
        room_g: the most each group can take; together at least `b`.
        b: what to share out.
    """
    count_g = np.zeros(len(share_g), np.intp)
    share_g = share_g.astype(np.float64)
    open_g = room_g > 0
    while (left := b - int(count_g.sum())) > 0:
        weight_g = np.where(open_g, share_g, 0.0)
        if not weight_g.any():
            weight_g = open_g.astype(np.float64)
        quota_g = left * (weight_g / weight_g.sum())
        full_g = open_g & (quota_g >= room_g)
        if full_g.any():
            count_g[full_g] = np.minimum(room_g[full_g], b)
            open_g &= ~full_g
            continue
        # The tolerance is for quotas such as 3 of 3 / 10 that float64 puts a little below a whole number.
        count_g[open_g] = np.floor(quota_g[open_g] + 1e-9).astype(np.intp)
        rest_g = np.where(open_g, quota_g - count_g, -1.0).round(9)
        more = np.argsort(-rest_g, kind="stable")[: b - int(count_g.sum())]
        count_g[more] += 1
        break
    return count_g
