"""The b largest scores, ties by smallest keyed hash."""

import numpy as np

from querist.arrays import Array, Hashes, Rows


def top_b(score_n: Array, tie_n: Hashes, b: int) -> Rows:
    """Return the rows of the `b` largest scores, largest first; among equal scores the smallest `tie_n` first.

    Args:
        score_n: ``(n,)`` finite.
        tie_n: ``(n,)`` keyed hashes of the rows' ids.
        b: ``0 <= b <= n``.
    """
    n = len(score_n)
    if b < n:
        # Everything above the b-th value is in; the value itself may be tied, so all its rows stay for the tie-break.
        threshold = np.partition(score_n, n - b)[n - b] if b else np.inf
        rows = np.flatnonzero(score_n >= threshold)
    else:
        rows = np.arange(n)
    return rows[np.lexsort((tie_n[rows], -score_n[rows]))][:b]
