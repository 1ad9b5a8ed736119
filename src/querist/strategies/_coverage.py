"""What strategies that cover the pool share: covering it, and completing a batch when all is covered."""

import numpy as np

from querist.arrays import Array, Rows
from querist.evidence.evidence import Evidence
from querist.kernels.coverage import Similarity, greedy_cover
from querist.kernels.representatives import complete
from querist.seeds import Key
from querist.strategies._whole import places
from querist.strategies.base import Picks

COVERED = "everything is covered, and it lies farthest from what covers it"
"""Why a row was picked that adds nothing."""


def covering(
    ev: Evidence,
    x_N_d: Array,
    similarity: Similarity,
    b: int,
    key: Key,
    weight_N: Array | None = None,
    *,
    per: float = 1.0,
) -> Picks:
    """Return the rows that greedily cover the pool best on top of what is labelled, with what each added by `per`."""
    tie_N, place_N = key.hash(ev.all), places(ev)
    rows, gain = greedy_cover(x_N_d, similarity, ev.rows("labelled"), place_N >= 0, tie_N, b, weight_N)
    return completed(ev, x_N_d, rows, gain / per, b, key)


def completed(ev: Evidence, x_N_d: Array, rows: Rows, utility: Array, b: int, key: Key) -> Picks:
    """Return `rows` of the frame ``all`` as picks; those missing to `b` are farthest-first and have the utility 0."""
    place_N = places(ev)
    rows = complete(x_N_d, rows, ev.rows("labelled"), place_N >= 0, key.hash(ev.all), b)
    return Picks(place_N[rows], np.append(utility, np.zeros(b - len(utility))))
