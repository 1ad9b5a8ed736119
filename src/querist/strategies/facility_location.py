"""Facility location: every row has something similar among the picks."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need
from querist.kernels.coverage import cosine
from querist.seeds import Key
from querist.strategies._coverage import COVERED, Covering
from querist.strategies.base import Picks, State, register


@register(
    "facility_location",
    cite="Wei, Iyer & Bilmes, ICML 2015",
    aliases=("submodlib",),
    presets={"paper": {}, "S4": {}},
)
@dataclass(frozen=True, kw_only=True)
class FacilityLocation(Covering):
    """Wants the row that most raises the similarity of all rows to their most similar labelled or picked one.

    Identity: ``gain(x) = sum_i max(0, s_ix - max_(j in L u S) s_ij)`` with ``s = (1 + cos) / 2``. Greedy, so at least
    1 - 1/e of the best possible. It is `max_herding` with another kernel.

    Use when: few labels shall represent the pool; better than random on both sets of our selection study, and greedy is
    near the best possible.

    Avoid when: a good model exists and many labels are there: it does not know where the model errs.

    Pitfalls: looking at all pairs takes time in the square of the pool. Cosine is flat, so far rows count too:
    max_herding with a narrow kernel is more local.

    Attributes:
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        limit: rows up to which all pairs are looked at; see `Covering`.
    """

    family: ClassVar = "submodular"
    regimes: ClassVar = ("VL", "L")
    space: Literal["auto", "features", "embeddings"] = "auto"
    needs: ClassVar = (Features(frame="all"),)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Embeddings(frame="all"),) if self.space == "embeddings" else self.needs

    def reason(self, utility: float) -> str:
        return f"it brings the pool {utility:.3g} closer to what is labelled or picked" if utility else COVERED

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        embedded = self.space == "embeddings"
        x_N_d = unit_rows(ev[Embeddings(frame="all")]) if embedded else ev[Features(frame="all")]
        return self.covering(ev, x_N_d, cosine(), b, key)
