"""What strategies share that use the answer to each question before they ask the next."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Hashes, Labels as LabelArray, Rows
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Labels, Probs
from querist.kernels.one_against_rest import Marks, ordering
from querist.seeds import Key
from querist.strategies._whole import places
from querist.strategies.base import Picks, Strategy

ASSUMED = "the answers to the picks before it in this batch were taken to be what the model predicts"
"""What is said of a pick that was chosen before the answers to earlier ones were there."""


@dataclass(frozen=True, kw_only=True)
class OneByOne(Strategy):
    """Asks one question at a time about where one class ends on the line from likely to unlikely rows of it.

    A session asks it for one pick again and again, with the new label and the probabilities from the start of the
    round. Asked for more at once, it lets the model's predictions stand in for the answers it does not have yet.
    """

    needs: ClassVar = (Probs(frame="all"), Labels())

    def reasons(self, picks: Picks) -> list[str]:
        first, *others = super().reasons(picks)
        return [first, *(f"{words}; {ASSUMED}" for words in others)]

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        place_N = places(ev)
        y_N = np.full(len(place_N), -1, np.int64)
        y_N[ev.rows("labelled")] = ev[Labels()]
        # Rows that are neither candidates nor labelled are not on the line.
        known = np.flatnonzero((place_N >= 0) | (y_N >= 0))
        p_N_c, tie_N, y_N = ev[Probs(frame="all")], key.hash(ev.all[known]), y_N[known]
        p_N_c = p_N_c if len(known) == len(p_N_c) else p_N_c[known]
        rows, utility = np.empty(b, np.intp), np.empty(b)
        for step in range(b):
            row, utility[step] = self.ask(p_N_c, y_N, tie_N, key)
            y_N[row] = p_N_c[row].argmax()
            rows[step] = place_N[known[row]]
        return Picks(rows, utility)

    @abstractmethod
    def ask(self, p_N_c: Array, y_N: LabelArray, tie_N: Hashes, key: Key) -> tuple[int, float]:
        """Return the row without a label to ask about next, and its utility.

        Args:
            p_N_c: probabilities of candidates and labelled rows.
            y_N: their labels, -1 where there is none.
            tie_N: among equal rows the smallest wins.
            key: the same for all picks of a batch.
        """


def line(p_N_c: Array, y_N: LabelArray, k: int, tie_N: Hashes) -> tuple[Rows, Marks]:
    """Return the rows in order of how likely class `k` is, and their marks in that order."""
    order = ordering(p_N_c, k, tie_N)
    y_N = y_N[order]
    return order, np.where(y_N < 0, 0, np.where(y_N == k, 1, -1))
