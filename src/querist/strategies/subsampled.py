"""Any strategy on fewer candidates: a random sample of the pool, or the neighbours of what is labelled."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Rows
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Need, Neighbours
from querist.seeds import Key
from querist.strategies._parts import needs_of_parts, part_of
from querist.strategies._whole import places
from querist.strategies.base import Picks, State, Strategy, register, require_at_least
from querist.strategies.margin import Margin


@register(
    "subsampled",
    cite="neighbours: Coleman et al., AAAI 2022; samples: Yoo & Kweon, CVPR 2019",
    presets={"paper": {"k": 100, "m": None}, "LL4AL": {"m": 10_000}},
)
@dataclass(frozen=True, kw_only=True)
class Subsampled(Strategy):
    """Lets another strategy choose among a part of the candidates only.

    With `m`, the part is a uniform sample of `m` candidates, another one in every round. Without, it is the candidates
    among the `k` nearest neighbours of the labelled rows in the space of the frozen features, which is SEALS; before
    there are labels it is the whole pool. The base sees the part as if it were the pool. When the part is smaller than
    the batch, the rest is drawn at random, with utility 0.

    Use when: the base is too slow for the pool, or a rare concept is searched for in a very large one (`k`).

    Avoid when: the labelled rows may miss whole regions, for neighbours never lead there; then give `m`.

    Pitfalls: what lies outside the part cannot be picked; the size of the part is a setting that results depend on.

    Attributes:
        base: what chooses.
        m: size of the random sample; None takes neighbours.
        k: neighbours of every labelled row. 100 in the paper; 10 is ours, for pools of thousands.
    """

    base: Strategy = field(default_factory=Margin)
    m: int | None = None
    k: int = 10
    family: ClassVar = "wrapper"
    regimes: ClassVar = ("VL", "L", "M", "H")

    def __post_init__(self) -> None:
        require_at_least(self, 1, "k", *(("m",) if self.m is not None else ()))

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        near = (self._near,) if self.m is None and state.n_labelled else ()
        return (*needs_of_parts(self.base.needs_at(state)), *near)

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        return needs_of_parts(self.base.wants_at(state))

    def reason(self, utility: float) -> str:
        drawn = "" if utility else ", or it is drawn at random because too few are looked at"
        among = "near labelled items (all, if none are)" if self.m is None else f"in a random sample of {self.m}"
        return f"{self.base.reason(utility) or 'it is the choice of the base'}, among candidates {among}{drawn}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        seen = self._part(ev, key)
        found = min(b, len(seen))
        rows, utility, certificate = seen[:0], np.empty(0), None
        if found:
            part = part_of(ev, seen, self.base)
            picks = self.base.select(part.evidence, found, key)
            if len(seen) == len(ev.candidates):
                return Picks(part.rows[picks.rows], *picks[1:])
            rows, utility, certificate = part.rows[picks.rows], picks.utility, picks.certificate
        rest = np.setdiff1d(np.arange(len(ev.candidates)), seen)
        drawn = rest[np.argsort(key.child("rest").hash(ev.candidates[rest]))][: b - found]
        if utility is None and not len(drawn):
            return Picks(rows, certificate=certificate)
        known = np.zeros(found) if utility is None else utility
        return Picks(np.append(rows, drawn), np.append(known, np.zeros(len(drawn))), certificate=certificate)

    @property
    def _near(self) -> Neighbours:
        return Neighbours(frame="all", k=self.k)

    def _part(self, ev: Evidence, key: Key) -> Rows:
        if self.m is not None:
            return np.argsort(key.child("subset").hash(ev.candidates))[: self.m]
        if self._near not in ev.needs:
            return np.arange(len(ev.candidates))
        near = ev[self._near]
        lists = [near.indices[near.indptr[i] : near.indptr[i + 1]] for i in ev.rows("labelled")]
        place = places(ev)[np.unique(np.concatenate(lists))]
        return place[place >= 0]
