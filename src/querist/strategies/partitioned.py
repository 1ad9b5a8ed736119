"""A partitioned version of any strategy: the batch is put together from random parts of the pool."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need
from querist.kernels.apportion import in_proportion
from querist.seeds import Key
from querist.strategies._parts import needs_of_parts, part_of, together
from querist.strategies.base import Picks, State, Strategy, register, require_at_least
from querist.strategies.margin import Margin


@register("partitioned", cite="partitions as in Citovsky et al., NeurIPS 2021", presets={"S4": {"parts": 1}})
@dataclass(frozen=True, kw_only=True)
class Partitioned(Strategy):
    """Lets another strategy choose a share of the batch in each of several random parts of the pool.

    The candidates are dealt out at random, anew in every round, so that sizes of parts differ by one at most; shares
    are those of largest remainder. The base sees each part as if it were the whole pool, beside all labelled rows, and
    the picks of the parts come in turn. One part is the base itself.

    Use when: the base takes time or memory that grows with the square of the pool, such as a coverage or a clustering.

    Avoid when: the base scores rows one by one, which is cheap on the whole pool and exact there.

    Pitfalls: parts do not know of one another, so that near-copies in two of them may both be picked.

    Attributes:
        base: what chooses within a part.
        parts: number of parts; never more than there are candidates. Four is ours; 1 is that of the system S4.
    """

    base: Strategy = field(default_factory=Margin)
    parts: int = 4
    family: ClassVar = "wrapper"
    regimes: ClassVar = ("VL", "L", "M", "H")

    def __post_init__(self) -> None:
        require_at_least(self, 1, "parts")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return needs_of_parts(self.base.needs_at(state))

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return needs_of_parts(self.base.wants_at(state))

    def reason(self, utility: float) -> str:
        return self.base.reason(utility)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        n = len(ev.candidates)
        parts = min(self.parts, n)
        order = np.argsort(key.child("parts").hash(ev.candidates))
        dealt = [order[j::parts] for j in range(parts)]
        size = np.array([len(rows) for rows in dealt])
        share = in_proportion(size, size, b)
        picked, turns = [], []
        for j in np.flatnonzero(share).tolist():
            part = part_of(ev, dealt[j], self.base)
            picked.append((part, self.base.select(part.evidence, int(share[j]), key.child("part", j) if j else key)))
            turns.append(np.arange(share[j]))
        # Where a row may be drawn at all is drawn, too, so the odds within the parts are not those of the batch.
        return together(picked, turns, exact=parts == 1)
