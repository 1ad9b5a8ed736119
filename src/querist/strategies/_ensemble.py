"""What strategies that score rows by trained members of an ensemble have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws, Need
from querist.strategies._draws import DrawsScoring
from querist.strategies.base import State


@dataclass(frozen=True, kw_only=True)
class EnsembleScoring(DrawsScoring):
    """How many members are asked for: each is one function of all rows, which draws in general need not be.

    Attributes:
        k: members.
    """

    family: ClassVar = "committee"
    regimes: ClassVar = ("M", "H")
    k: int = 3

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (self._need,)

    def draws(self, ev: Evidence) -> Sequence[Array]:
        """Return the members' probabilities, arrays ``(n, c)``."""
        return ev[self._need]

    @property
    def _need(self) -> Draws:
        return Draws(k=self.k, coherent=True)
