"""What strategies that score rows by several draws of their probabilities have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws, Need
from querist.strategies.base import Scoring, State, require_at_least


@dataclass(frozen=True, kw_only=True)
class DrawsScoring(Scoring):
    """How many draws are asked for. Arrays handed over by a caller may hold any number of them.

    Attributes:
        k: draws of a stochastic model, or members of a committee.
    """

    k: int = Draws.k

    def __post_init__(self) -> None:
        require_at_least(self, 2, "k")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Draws(k=self.k),)

    def draws(self, ev: Evidence) -> Sequence[Array]:
        """Return the draws, arrays ``(n, c)`` of probabilities."""
        return ev[Draws(k=self.k)]
