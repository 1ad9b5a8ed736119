"""Candidates among all rows, for strategies that look at labelled and unlabelled rows together."""

from typing import Literal

import numpy as np

from querist.arrays import Array, Rows
from querist.evidence.evidence import Evidence
from querist.kernels.farthest_first import farthest_first, nearest_to_mean
from querist.seeds import Key
from querist.strategies.base import Picks


def places(ev: Evidence) -> Rows:
    """Return ``(N,)``: for each row of the frame ``all`` its row among the candidates, -1 if it is none."""
    place_N = np.full(len(ev.all), -1, np.intp)
    place_N[ev.rows("candidates")] = np.arange(len(ev.candidates))
    return place_N


def farthest_picks(ev: Evidence, x_N_d: Array, b: int, key: Key, start: Literal["mean", "random"] = "mean") -> Picks:
    """Return the candidates farthest from all that is labelled or picked, one after another, and how far each was.

    Args:
        ev: whose candidates.
        x_N_d: points, of the frame ``all``.
        b: number of picks.
        key: its hash decides between equally far rows.
        start: the first pick when nothing is labelled: the row nearest to the mean of all, or a random one.
    """
    tie_N, place_N = key.hash(ev.all), places(ev)
    open_N, labelled = place_N >= 0, ev.rows("labelled")
    if len(labelled):
        rows, gap = farthest_first(x_N_d, labelled, open_N, tie_N, b)
        return Picks(place_N[rows], gap)
    first = nearest_to_mean(x_N_d, open_N, tie_N) if start == "mean" else int(tie_N.argmin())
    open_N[first] = False
    # The first pick has no distance of its own; it is given that of the second, the radius it leaves uncovered.
    rows, gap = farthest_first(x_N_d, np.array([first]), open_N, tie_N, min(b, int(open_N.sum())))
    radius = gap[:1] if len(gap) else np.zeros(1)
    return Picks(place_N[np.append(first, rows)[:b]], np.append(radius, gap)[:b])
