"""SimCLR's loss and the distance to a SCAN prototype, combined, as a ranking for the first labels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need, PretrainTrace
from querist.strategies._prototypes import Prototypes
from querist.strategies._stored import stored_rows
from querist.strategies.base import Scoring, State, register, require_between

LOSS = PretrainTrace(frame="all", name="simclr_loss")


@register(
    "scan_simclr_combined",
    cite="clusters: Van Gansbeke et al., ECCV 2020; ranking: a fork of Chandra et al. 2020, arXiv 2011.14696",
    presets={"S3": {"weight": 0.5}},
)
@dataclass(frozen=True, kw_only=True)
class ScanSimclrCombined(Prototypes, Scoring):
    """Wants rows that are hard for SimCLR and near the prototype of their cluster.

    Identity: ``w z(loss) - (1 - w) z(d)``, with ``z`` the standard score over all rows of the pool, labelled ones too;
    0 where all are equal.

    Use when: a loss of pre-training is to be tried without its outliers: the prototypes hold it back from them.

    Avoid when: the clusters are poor; see `scan_prototype`.

    Pitfalls: two standard scores are comparable only if neither has heavy tails, which losses have.

    Attributes:
        weight: of the loss, between 0 and 1.
        losses: instead of the session's encoder, a file of losses, one per item; see `stored_rows` for its forms.
    """

    weight: float = 0.5
    losses: str | None = None
    files: ClassVar = ("memberships", "losses")
    lowest: ClassVar = float("-inf")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, 0.0, 1.0, "weight")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (*super().needs_at(state), *(() if self.losses is not None else (LOSS,)))

    def reason(self, utility: float) -> str:
        return f"hard to tell from others and near the prototype of its cluster: {utility:.3g}"

    def score(self, ev: Evidence) -> Array:
        both_N = self.weight * _standard(self._losses(ev)) - (1 - self.weight) * _standard(self.distances(ev))
        return both_N[ev.rows("candidates")]

    def _losses(self, ev: Evidence) -> Array:
        if self.losses is not None:
            return stored_rows(self.losses, ev.all, who="strategy scan_simclr_combined")
        return ev[LOSS][:, -1]


def _standard(x_N: Array) -> Array:
    centred_N = x_N - x_N.mean(dtype=np.float64)
    spread = centred_N.std()
    return centred_N / spread if spread > 0 else centred_N
