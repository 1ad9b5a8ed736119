"""A sequential strategy small enough to read, to test whatever asks for items one by one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Labels, Probs
from querist.registry import Card
from querist.seeds import Key
from querist.strategies.base import Picks, Strategy


@dataclass(frozen=True, kw_only=True)
class FakeSequential(Strategy):
    """Asks for a row that looks like the class with the fewest labels so far, the least certain one first.

    Every answer changes what is rare, so a batch differs from as many single asks.
    """

    card: ClassVar[Card[Strategy]]
    needs: ClassVar = (Probs(), Labels())

    def reason(self, utility: float) -> str:
        return f"one by one: {utility:.3f}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        p_n_c = ev[Probs()]
        count_c = np.bincount(ev[Labels()], minlength=ev.c)
        order = np.lexsort((key.hash(ev.candidates), p_n_c.max(axis=1), count_c[p_n_c.argmax(axis=1)]))
        return Picks(order[:b], 1.0 - p_n_c.max(axis=1)[order[:b]])


FakeSequential.card = Card(name="fake_sequential", component=FakeSequential, flags=frozenset({"sequential"}))
