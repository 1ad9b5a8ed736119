"""Contextual diversity by core-sets: predictions unlike those on labelled rows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.kernels.divergence_first import divergence_first
from querist.seeds import Key
from querist.strategies._whole import places
from querist.strategies.base import Picks, Strategy, register
from querist.strategies.contrastive_al import require_floor


@register("cdal_cs", cite="Agarwal et al., ECCV 2020")
@dataclass(frozen=True, kw_only=True)
class CdalCs(Strategy):
    """Wants the row whose predicted distribution is farthest from those of everything labelled or picked, repeatedly.

    Identity: ``argmax_i min_(j in L u S) (KL(p_i || p_j) + KL(p_j || p_i)) / 2``: `k_center_greedy` in the space of
    predictions. For whole images, where the contextual diversity of an image is that of its one prediction.

    Use when: confusions between classes should all be seen, with a model that is worth its predictions.

    Avoid when: the model is new: predictions of its first labels say little about the data.

    Pitfalls: the divergence grows without bound towards certainty, so confident rows of every class come first. The
    floor decides how much; the authors have none.

    Attributes:
        floor: probabilities below it count as it; ours.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("M", "H")
    floor: float = 1e-6
    needs: ClassVar = (Probs(frame="all"),)

    def __post_init__(self) -> None:
        require_floor(self.floor)

    def reason(self, utility: float) -> str:
        return f"its prediction is {utility:.3g} nats away from those of everything labelled or picked before"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        place_N = places(ev)
        rows, gap = divergence_first(
            ev[Probs(frame="all")], ev.rows("labelled"), place_N >= 0, key.hash(ev.all), b, self.floor
        )
        # Without labels the first pick has no distance of its own; it is given that of the second.
        gap[0] = gap[0] if np.isfinite(gap[0]) else gap[1] if b > 1 else 0.0
        return Picks(place_N[rows], gap)
