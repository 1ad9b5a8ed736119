"""What strategies that cover the pool share: covering it, and completing a batch when all is covered."""

from dataclasses import dataclass

import numpy as np

from querist.arrays import Array, Rows
from querist.evidence.evidence import Evidence
from querist.kernels.certificate import Certificate
from querist.kernels.coverage import Similarity
from querist.kernels.representatives import complete
from querist.kernels.truncation import certified_cover
from querist.seeds import Key
from querist.strategies._whole import places
from querist.strategies.base import Picks, Strategy, require_at_least

COVERED = "everything is covered, and it lies farthest from what covers it"
"""Why a row was picked that adds nothing."""


@dataclass(frozen=True, kw_only=True)
class Covering(Strategy):
    """How large a pool may be for the coverage of every row by every other to be looked at.

    Attributes:
        limit: with more rows than this, gains are estimated from a random sample of them, ``limit^2 / N`` rows, so that
            the work stays that of `limit` rows. The first reason of a batch then says so, and what it loses at most.
    """

    limit: int = 200_000

    def __post_init__(self) -> None:
        require_at_least(self, 1, "limit")

    def covering(
        self,
        ev: Evidence,
        x_N_d: Array,
        similarity: Similarity,
        b: int,
        key: Key,
        weight_N: Array | None = None,
        *,
        per: float = 1.0,
    ) -> Picks:
        """Return the rows that greedily cover the pool best on top of what is labelled, with their gains by `per`."""
        cover = certified_cover(
            x_N_d, similarity, ev.rows("labelled"), places(ev) >= 0, key.hash(ev.all), b, weight_N,
            limit=self.limit, sample_N=key.child("references").hash(ev.all),
        )  # fmt: skip
        return completed(ev, x_N_d, cover.rows, cover.gain / per, b, key, cover.certificate)


def completed(
    ev: Evidence, x_N_d: Array, rows: Rows, utility: Array, b: int, key: Key, certificate: Certificate | None = None
) -> Picks:
    """Return `rows` of the frame ``all`` as picks; those missing to `b` are farthest-first and have the utility 0."""
    place_N = places(ev)
    rows = complete(x_N_d, rows, ev.rows("labelled"), place_N >= 0, key.hash(ev.all), b)
    return Picks(place_N[rows], np.append(utility, np.zeros(b - len(utility))), certificate=certificate)
