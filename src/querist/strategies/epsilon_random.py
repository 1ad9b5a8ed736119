"""A share of the batch drawn at random, to audit what another strategy does with the rest."""

from dataclasses import dataclass, field
from math import floor
from typing import Any, ClassVar

import numpy as np

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need
from querist.seeds import Key
from querist.strategies._parts import needs_of_parts, part_of
from querist.strategies.base import Picks, State, Strategy, register, require_between
from querist.strategies.composition import flags_of
from querist.strategies.margin import Margin
from querist.strategies.random import Random

AUDIT = "drawn at random, to audit the rest of the batch"
"""Why a row was drawn."""


@register("epsilon_random", cite="audit draws; Farquhar, Gal & Rainforth, ICLR 2021", presets={"light": {"eps": 0.05}})
@dataclass(frozen=True, kw_only=True)
class EpsilonRandom(Strategy):
    """Draws a share of the batch uniformly and lets another strategy choose the rest among what is left.

    The first ``m = floor(eps b + 1/2)`` picks are uniform draws without replacement from all candidates, draw j with
    the propensity ``1 / (n - j)``; estimates that weight by its inverse are unbiased. The picks of the base have the
    propensity that the base states, and 1 if it states none: given the draws before, and those the base makes within
    itself, they are certain. With eps = 0 it is the base, with eps = 1 `random`.

    Use when: you want to know later how good labels and model are, or fear that a strategy misses whole regions.

    Avoid when: batches are so small that ``eps b`` rounds to 0: then nothing is audited.

    Pitfalls: only the first m picks of a batch are audit draws; the others tell nothing about the pool.

    Attributes:
        base: what chooses the rest.
        eps: share of the batch that is drawn, 0.05 to 0.1 as a rule.
    """

    base: Strategy = field(default_factory=Margin)
    eps: float = 0.1
    family: ClassVar = "wrapper"
    regimes: ClassVar = ("VL", "L", "M", "H")

    def __post_init__(self) -> None:
        require_between(self, 0.0, 1.0, "eps")
        if 0.0 < self.eps < 1.0 and "sequential" in flags_of(self.base):
            raise SpecError(
                "a base that asks for its items one by one has batches of one, of which no share can be drawn."
            )

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return needs_of_parts(self.base.needs_at(state))

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return needs_of_parts(self.base.wants_at(state))

    def reason(self, utility: float) -> str:
        return self.base.reason(utility)

    def reasons(self, picks: Picks) -> list[str]:
        m = self._drawn(len(picks.rows))
        if m == len(picks.rows):
            return [AUDIT] * m
        rest = Picks(*(None if value is None else value[m:] for value in picks[:3]))  # pyright: ignore[reportArgumentType]
        return [AUDIT] * m + self.base.reasons(rest)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        m = self._drawn(b)
        n = len(ev.candidates)
        drawn, odds = np.empty(0, np.intp), 1.0 / (n - np.arange(m))
        if m:
            drawn = Random().select(ev, m, key).rows
        if m == b:
            return Picks(drawn, None, odds)
        part = part_of(ev, np.setdiff1d(np.arange(n), drawn), self.base)
        picks = self.base.select(part.evidence, b - m, key)
        rows = part.rows[picks.rows]
        if not m:
            return picks._replace(rows=rows)
        utility = None if picks.utility is None else np.append(np.zeros(m), picks.utility)
        certain = np.ones(b - m) if picks.propensity is None else picks.propensity
        return Picks(np.append(drawn, rows), utility, np.append(odds, certain), picks.certificate)

    def _drawn(self, b: int) -> int:
        return floor(self.eps * b + 0.5)
