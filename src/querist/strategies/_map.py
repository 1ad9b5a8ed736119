"""What rankings by a supervised data map share: the file of the map."""

from dataclasses import dataclass
from typing import ClassVar

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.strategies._dynamics import WORDS, Kind, difficulty
from querist.strategies._stored import stored_rows
from querist.strategies.base import Scoring, card_of


@dataclass(frozen=True, kw_only=True)
class Mapped(Scoring):
    """Wants the rows at one end of a data map that was made with all labels.

    Attributes:
        path: file of the probabilities of the true label, a row per item and a column per epoch; see `stored_rows`.
    """

    kind: ClassVar[Kind]
    path: str
    files: ClassVar = ("path",)
    family: ClassVar = "cold start"
    regimes: ClassVar = ("VL", "L")

    def reason(self, utility: float) -> str:
        return WORDS[self.kind].format(utility)

    def score(self, ev: Evidence) -> Array:
        q_n_e = stored_rows(self.path, ev.candidates, (None,), who=f"strategy {card_of(self).name}")
        return difficulty(q_n_e, self.kind)
