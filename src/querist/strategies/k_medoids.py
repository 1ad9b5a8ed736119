"""k-medoids: picks from which the whole pool is as near as possible."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.swaps import k_medoids
from querist.seeds import Key
from querist.strategies._coverage import COVERED, completed
from querist.strategies._whole import places
from querist.strategies.base import Picks, Strategy, register


@register("k_medoids", cite="Kaufman & Rousseeuw, Wiley 1990")
@dataclass(frozen=True, kw_only=True)
class KMedoids(Strategy):
    """Wants the rows that make the distances of all rows to the nearest labelled or picked one sum to least.

    Minimises ``sum_i min_(j in L u S) |f_i - f_j|`` on unit-norm features: greedily at first, which is facility
    location with ``s = const - d``, then by swaps of a pick with any unlabelled row until none helps. The picks come
    with the number of rows that are nearest to them, largest first.

    Attributes:
        swaps: whether to go on after the greedy start.
    """

    swaps: bool = True
    needs: ClassVar = (Features(frame="all"),)

    def reason(self, utility: float) -> str:
        return f"it is the nearest pick or label of {utility:.0f} rows" if utility else COVERED

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d, open_N = ev[Features(frame="all")], places(ev) >= 0
        rows, size = k_medoids(x_N_d, ev.rows("labelled"), open_N, key.hash(ev.all), b, swaps=self.swaps)
        return completed(ev, x_N_d, rows, size.astype(np.float64), b, key)
