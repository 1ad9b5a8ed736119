"""Adaptive: the default strategy, good at ten labels and at a thousand."""

from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Labels, Need, Probs, Refit
from querist.kernels import scores
from querist.kernels.calibration import likeliest_temperature, tempered
from querist.kernels.centring import directions, median_distance, principal_rows
from querist.kernels.coverage import gaussian
from querist.kernels.folds import held_out
from querist.kernels.truncation import certified_cover
from querist.seeds import Key
from querist.strategies._coverage import COVERED, Covering, completed
from querist.strategies._whole import places
from querist.strategies.base import Picks, State, register, require_at_least

TEMPERATURES = np.logspace(-1.0, 1.5, 26)
FOLDS = 5
SAMPLE = 1000
"""Rows among which the typical distance is measured."""


@register("adaptive", cite="Querist; after Bae, Oliveira & Sutherland, ICLR 2025", presets={"v1": {}})
@dataclass(frozen=True, kw_only=True)
class Adaptive(Covering):
    """Wants the row that most raises the coverage of what the model is unsure about, at a width that suits the budget.

    Identity: ``gain(x) = sum_n u_n max(0, k(n, x) - max_(s in L u S) k(n, s))``, greedily, with
    ``k(n, x) = exp(-|g_n - g_x|^2 / sigma^2)`` between directions g seen from the mean of the pool, which removes hubs;
    ``sigma = m max(narrow, wide (10 / max(r, 10))^0.3)`` with m the median distance of two rows and r the labels per
    class; ``u_n = 1 - (p_(1) - p_(2))`` at temperature T, 0 on labelled rows, and 1 for all without labels or with a
    single class among them. A share `audit` of every batch is drawn uniformly, first, with its propensities: from these
    draws, and from no others, an honest error rate can be estimated.

    It is UHerding without a radius that collapses: theirs is the least distance between labelled rows.

    Use when: you do not want to choose; it works without labels, at every budget measured, and with any learner.
    Avoid when: nothing but the last budget counts: there `margin` is as good and simpler, and with 20 % wrong answers
    `uherding` ends higher, though it is worse until then.
    Pitfalls: it needs features that mean something; where accuracy rises, the recall of rare classes can fall.

    Attributes:
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        components: along how many principal axes of the pool, at most, directions are seen from its mean; 0 takes
            the features as they are, from the origin.
        wide: width of the kernel up to 10 labels per class, in median distances.
        narrow: the least width.
        temperature: ``held_out`` takes the T at which answers were likeliest under heads that had not seen them (five
            folds), wherever the learner can be fitted again for that; ``none`` is T = 1.
        audit: share of every batch that is drawn uniformly at random.
        limit: rows up to which all pairs are looked at; see `Covering`.
    """

    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL", "L", "M", "H")
    space: Literal["auto", "features", "embeddings"] = "auto"
    components: int = 128
    wide: float = 0.7
    narrow: float = 0.35
    temperature: Literal["held_out", "none"] = "held_out"
    audit: float = 0.05
    limit: int = 50_000
    needs: ClassVar = (Features(frame="all", components=128), Probs())
    wants: ClassVar = (Labels(), Refit(frame="labelled"))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 0, "components")
        if not 0.0 < self.narrow <= self.wide < float("inf"):
            raise SpecError(f"Expected 0 < narrow <= wide, got narrow = {self.narrow} and wide = {self.wide}.")
        if not 0.0 <= self.audit < 1.0:
            raise SpecError(f"Expected audit to be 0 or larger and below 1, got {self.audit}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        if self.space == "embeddings" and state.has_model:
            return Embeddings(frame="all"), Probs()
        return (self._features, Probs()) if state.has_model else (self._features,)

    def wants_at(self, state: State) -> tuple[Need[Any], ...]:
        if not state.has_model:
            return ()
        return self.wants if self.temperature == "held_out" else self.wants[:1]

    def reason(self, utility: float) -> str:
        return f"it raises the coverage of what is still unclear by {utility:.3g}" if utility else COVERED

    def reasons(self, picks: Picks) -> list[str]:
        audits = 0 if picks.propensity is None else int(np.count_nonzero(picks.propensity < 1.0))
        return ["drawn at random, to keep the others honest"] * audits + super().reasons(picks)[audits:]

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        g_N_d = self._directions(ev)
        has_place_N, open_N = g_N_d.any(axis=1), places(ev) >= 0
        weight_N = np.where(has_place_N, self._unclear(ev, key), 0.0)
        audit = self._audit(ev, b, key)

        cover = certified_cover(
            g_N_d, gaussian(self._sigma(g_N_d, ev, key)), np.append(ev.rows("labelled"), audit),
            open_N & has_place_N & ~np.isin(np.arange(len(open_N)), audit), key.hash(ev.all), b - len(audit), weight_N,
            limit=self.limit, sample_N=key.child("references").hash(ev.all),
        )  # fmt: skip
        rows, gain = np.append(audit, cover.rows), np.append(np.zeros(len(audit)), cover.gain)
        picks = completed(ev, g_N_d, rows, gain, b, key, cover.certificate)
        left = len(ev.candidates) - np.arange(len(audit))
        return picks._replace(propensity=np.append(1.0 / left, np.ones(b - len(audit))))

    @property
    def _features(self) -> Features:
        return Features(frame="all", components=self.components or None)

    def _directions(self, ev: Evidence) -> Array:
        if Embeddings(frame="all") not in ev.needs:
            return directions(ev[self._features])
        x_N_d = unit_rows(ev[Embeddings(frame="all")])
        if not self.components:
            return x_N_d
        return directions(principal_rows(x_N_d, np.arange(len(x_N_d)), self.components))

    def _audit(self, ev: Evidence, b: int, key: Key) -> Rows:
        """Return the rows of the frame ``all`` that are drawn uniformly: `audit` times `b`, rounded at random."""
        share = self.audit * b
        number = floor(share) + int(key.child("rounding").uniform(np.zeros(1, np.int64))[0] < share - floor(share))
        drawn = np.argsort(key.child("audit").hash(ev.candidates))[:number]
        return ev.rows("candidates")[drawn]

    def _sigma(self, g_N_d: Array, ev: Evidence, key: Key) -> float:
        placed = np.flatnonzero(g_N_d.any(axis=1))
        sample = placed[np.argsort(key.child("distances").hash(ev.all[placed]))[:SAMPLE]]
        # Without a declared number of classes there is no telling labels per class.
        per_class = len(ev.labelled) / ev.c if ev.c > 1 else 0.0
        return median_distance(g_N_d[np.sort(sample)]) * self._width(per_class)

    def _width(self, per_class: float) -> float:
        """Return the width of the kernel in median distances: it shrinks from 10 labels per class on."""
        return max(self.narrow, self.wide * (10.0 / max(per_class, 10.0)) ** 0.3)

    def _unclear(self, ev: Evidence, key: Key) -> Array:
        """Return ``(N,)``: how unsure the model is of every row."""
        one_class = Labels() in ev.needs and len(np.unique(ev[Labels()])) < 2
        if Probs() not in ev.needs or one_class:
            return np.ones(len(ev.all))
        p_n_c = ev[Probs()]
        refit = Refit(frame="labelled")
        if self.temperature == "held_out" and refit in ev.needs and len(ev.labelled) > 1:
            p_l_c = held_out(ev[refit], key.child("folds").hash(ev.labelled), FOLDS)
            p_n_c = tempered(p_n_c, likeliest_temperature(p_l_c, ev[Labels()], TEMPERATURES))
        unclear_N = np.zeros(len(ev.all))
        unclear_N[ev.rows("candidates")] = 1.0 + scores.margin(p_n_c)
        return unclear_N
