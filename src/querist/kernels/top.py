"""The b largest scores, ties by smallest keyed hash."""

import numpy as np

from querist.arrays import Array, Hashes, Rows

SAMPLE = 4096
"""Scores looked at for a first threshold, where there are many more."""


def top_b(score_n: Array, tie_n: Hashes, b: int) -> Rows:
    """Return the rows of the `b` largest scores, largest first; among equal scores the smallest `tie_n` first.

    Args:
        score_n: ``(n,)`` finite.
        tie_n: ``(n,)`` keyed hashes of the rows' ids.
        b: ``0 <= b <= n``.
    """
    rows = contenders(score_n, b)
    score = score_n[rows]
    if b < len(rows):
        # Everything above the b-th value is in; the value itself may be tied, so all its rows stay for the tie-break.
        threshold = np.partition(score, len(rows) - b)[len(rows) - b] if b else np.inf
        rows = rows[score >= threshold]
    return rows[np.lexsort((tie_n[rows], -score_n[rows]))][:b]


def contenders(score_n: Array, b: int) -> Rows:
    """Return rows among which the `b` largest scores and all their ties are: few of many rows, or else all of them.

    Ascending. Whoever must compute a hash per row needs it for these alone.
    """
    n = len(score_n)
    # A value that about 2 b rows reach, judged by every n-th part of them. If b rows reach it, no other row matters.
    sample = score_n[:: max(1, n // SAMPLE)]
    place = len(sample) - 8 - 2 * b * len(sample) // n
    if n > 4 * SAMPLE and place > 0:
        rows = np.flatnonzero(score_n >= np.partition(sample, place)[place])
        if len(rows) >= b:
            return rows
    return np.arange(n)
