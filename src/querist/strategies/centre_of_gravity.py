"""Centre of gravity: rows far from the mean of all."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need
from querist.kernels.nearest import column_sums, gap_to
from querist.strategies.base import Scoring, State, register


@register(
    "centre_of_gravity",
    cite="Munjal et al., CVPR 2022",
    aliases=("cog",),
    presets={"S2": {"normalise": False}, "S3": {"normalise": False}},
)
@dataclass(frozen=True, kw_only=True)
class CentreOfGravity(Scoring):
    """Wants the rows farthest from the mean of labelled and unlabelled rows together.

    Identity: ``u_i = |z_i - mean z|``. The spread over bins of this distance that S2 runs beside it is the wrapper
    `uniform_bins` around this rule.

    Use when: a cheap reference for diversity is wanted, or with uniform_bins a spread over typical and untypical items.

    Avoid when: good labels for the mass of the data are wanted: the rule takes the rim and nothing else.

    Pitfalls: it seeks outliers by construction, and all on one side if the cloud is skewed; broken files come first.

    Attributes:
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        normalise: divide rows by their norm first.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("M", "H")
    space: Literal["auto", "features", "embeddings"] = "auto"
    normalise: bool = False
    needs: ClassVar = (Features(frame="all", normalise=False),)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (self._need,)

    def reason(self, utility: float) -> str:
        return f"it lies {utility:.3g} away from the centre of all items"

    def score(self, ev: Evidence) -> Array:
        x_N_d = ev[self._need]
        if self.space == "embeddings" and self.normalise:
            x_N_d = unit_rows(x_N_d)
        gap_N = gap_to(x_N_d, column_sums(x_N_d) / len(x_N_d))
        return np.sqrt(gap_N[ev.rows("candidates")])

    @property
    def _need(self) -> Need[Array]:
        if self.space == "embeddings":
            return Embeddings(frame="all")
        return Features(frame="all", normalise=self.normalise)
