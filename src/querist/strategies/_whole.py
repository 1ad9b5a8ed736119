"""Where candidates stand among all rows, for strategies that look at labelled and unlabelled rows together."""

import numpy as np

from querist.arrays import Rows
from querist.evidence.evidence import Evidence


def places(ev: Evidence) -> Rows:
    """Return ``(N,)``: for each row of the frame ``all`` its row among the candidates, -1 if it is none."""
    place_N = np.full(len(ev.all), -1, np.intp)
    place_N[ev.rows("candidates")] = np.arange(len(ev.candidates))
    return place_N
