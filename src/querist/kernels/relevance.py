"""Draws of rows that are uncertain and whose predictions differ from those of the rows drawn before."""

import numpy as np

from querist.arrays import Array, Bools, Ids, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.race import Race, log_waits
from querist.seeds import Key

PATIENCE = 8.0
"""How far a race is followed at first, in units of the time after which a first arrival is to be expected."""


def relevance_draws(
    p_n_c: Array, uncertainty_n: Array, b: int, ids_n: Ids, key: Key, *, gamma: float
) -> tuple[Rows, Array, Array]:
    """Return `b` rows drawn by relevance, the relevance of each when it was drawn, and the probability of its draw.

    The relevance is ``r_i = u_i + D_i``: the uncertainty and, scaled to 0..1 over the rows that are left, the least
    ``|p_i - p_q|_1`` to a row q drawn before, at most ``u_i``. Row i is drawn with probability in proportion to
    ``r_i^gamma``; where all relevance is 0, all rows are equally likely. Gilhuber et al., ECML PKDD 2024.

    Draw t is an exponential race with the noise ``key.child("step", t).uniform``. Time O(b n c), memory O(n).

    Args:
        p_n_c: class probabilities.
        uncertainty_n: 0 or more.
        b: ``1 <= b <= n``.
        ids_n: what the noise is of.
        key: of the draws.
        gamma: 0 or more.
    """
    p_n_c = dense(p_n_c)
    near_n, open_n = uncertainty_n.astype(np.float64), np.ones(len(ids_n), np.bool_)
    rows, relevance, probability = np.empty(b, np.intp), np.empty(b), np.empty(b)
    race = Race(ids_n)
    for step in range(b):
        if step:
            _approach(p_n_c, rows[step - 1], near_n)
        relevance_n = np.where(open_n, uncertainty_n + _scaled(near_n, open_n), 0.0)
        largest = float(relevance_n.max())
        # In units of the largest, so that no power leaves the range of numbers and 0^0 is 1.
        weight_n = (relevance_n / largest) ** gamma if largest > 0.0 else np.ones(len(ids_n))
        weight_n[~open_n] = 0.0
        row = _winner(race, weight_n, ids_n, key.child("step", step))
        rows[step], relevance[step], probability[step] = row, relevance_n[row], weight_n[row] / weight_n.sum()
        open_n[row] = False
    return rows, relevance, probability


def _scaled(near_n: Array, open_n: Bools) -> Array:
    """Return distances scaled so that those of open rows go from 0 to 1; all 0 where they are all equal."""
    least, most = float(near_n[open_n].min()), float(near_n[open_n].max())
    return np.maximum(near_n - least, 0.0) / (most - least) if most > least else np.zeros(len(near_n))


def _winner(race: Race, weight_n: Array, ids_n: Ids, key: Key) -> int:
    """Return who arrives first. Only rows that may be early are looked at one by one, unless none of them is."""
    time = PATIENCE / float(weight_n.sum())
    early, _ = race.before(time, weight_n, key)
    arrival = log_waits(ids_n[early], key) - np.log(weight_n[early])
    if not len(early) or arrival.min() > np.log(time):
        early = np.flatnonzero(weight_n)
        arrival = log_waits(ids_n[early], key) - np.log(weight_n[early])
    return int(early[arrival.argmin()])


@jit
def _approach(p_n_c, pick, near_n):
    """Lower `near_n` to the sum of absolute differences to the pick."""
    q_c = p_n_c[pick]
    for i in range(len(p_n_c)):
        p_c = p_n_c[i]
        total = 0.0
        for j in range(len(q_c)):
            total += abs(np.float64(p_c[j]) - np.float64(q_c[j]))
        near_n[i] = min(near_n[i], total)
