"""k-medoids: picks from which the whole pool is as near as possible."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.coverage import closeness
from querist.kernels.swaps import k_medoids
from querist.kernels.truncation import assigned
from querist.seeds import Key
from querist.strategies._coverage import COVERED, Covering, completed
from querist.strategies._whole import places
from querist.strategies.base import Picks, register

REACH = 2.0
"""No two points of unit length are farther apart."""


@register("k_medoids", cite="Kaufman & Rousseeuw, Wiley 1990", presets={"paper": {"swaps": True}})
@dataclass(frozen=True, kw_only=True)
class KMedoids(Covering):
    """Wants the rows that make the distances of all rows to the nearest labelled or picked one sum to least.

    Minimises ``sum_i min_(j in L u S) |f_i - f_j|`` on unit-norm features: greedily at first, which is facility
    location with ``s = const - d``, then by swaps of a pick with any unlabelled row until none helps. The picks come
    with the number of rows that are nearest to them, largest first.

    Use when: few labels are to represent the whole pool on frozen features; better than random on both sets of our
    selection study.

    Avoid when: the pool is beyond the limit and every swap counts, or a good model exists and boundaries matter more
    than density.

    Pitfalls: looking at all pairs takes time in the square of the pool. Dense regions that are learnt already keep
    their weight until they are labelled.

    Attributes:
        swaps: whether to go on after the greedy start.
        limit: rows up to which all pairs are looked at; see `Covering`. Beyond it there are no swaps.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("VL", "L")
    swaps: bool = True
    needs: ClassVar = (Features(frame="all"),)

    def reason(self, utility: float) -> str:
        return f"it is the nearest pick or label of {utility:.0f} rows" if utility else COVERED

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d, open_N = ev[Features(frame="all")], places(ev) >= 0
        if len(x_N_d) > self.limit:
            return self._estimated(ev, x_N_d, b, key)
        rows, size = k_medoids(x_N_d, ev.rows("labelled"), open_N, key.hash(ev.all), b, swaps=self.swaps, reach=REACH)
        return completed(ev, x_N_d, rows, size.astype(np.float64), b, key)

    def _estimated(self, ev: Evidence, x_N_d: Array, b: int, key: Key) -> Picks:
        """Return the greedy start alone, its gains from a sample, and how many rows are nearest to each pick."""
        similarity, labelled = closeness(REACH), ev.rows("labelled")
        picks = self.covering(ev, x_N_d, similarity, b, key)
        centres = np.append(labelled, ev.rows("candidates")[picks.rows])
        owner_N, _ = assigned(x_N_d, similarity, centres)
        size = np.bincount(owner_N, minlength=len(centres))[len(labelled) :]
        order = np.lexsort((key.hash(ev.candidates[picks.rows]), -size))
        return picks._replace(rows=picks.rows[order], utility=size[order].astype(np.float64))
