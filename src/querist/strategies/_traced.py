"""What rankings by a statistic of a pre-training share: where the statistic comes from, and which end is wanted."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need, PretrainTrace
from querist.strategies._stored import stored_rows
from querist.strategies.base import Scoring, State, card_of


@dataclass(frozen=True, kw_only=True)
class Traced(Scoring):
    """Wants one end of a ranking by one number per item, which was kept when an encoder was pre-trained.

    Attributes:
        order: ``descending`` takes the largest numbers first, ``ascending`` the smallest.
        scores: instead of the session's encoder, a file of the numbers, one per item; see `stored_rows` for its forms.
    """

    trace: ClassVar[str]
    lowest: ClassVar = float("-inf")
    order: Literal["descending", "ascending"] = "descending"
    scores: str | None = None
    files: ClassVar = ("scores",)
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return () if self.scores is not None else (PretrainTrace(name=self.trace),)

    def value(self, ev: Evidence) -> Array:
        """Return ``(n,)`` numbers of the candidates: the last of each where a number was kept for every epoch."""
        if self.scores is not None:
            return stored_rows(self.scores, ev.candidates, who=f"strategy {card_of(self).name}")
        return ev[PretrainTrace(name=self.trace)][:, -1]

    def score(self, ev: Evidence) -> Array:
        return self.value(ev) if self.order == "descending" else -self.value(ev)
