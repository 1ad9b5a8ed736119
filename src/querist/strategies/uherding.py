"""Uncertainty herding: coverage of what the model is unsure about."""

from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Labels as LabelArray, Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels, Need, Probs
from querist.kernels import scores
from querist.kernels.calibration import best_temperature, tempered
from querist.kernels.coverage import gaussian
from querist.kernels.inner import scores as inner_products, softmax
from querist.kernels.logistic import fit_logistic
from querist.kernels.radius_graph import least_distance, typical_distance
from querist.seeds import Key
from querist.strategies._coverage import COVERED, Covering
from querist.strategies.base import Picks, State, register

PAPER = np.arange(10, 200) / 10
"""Temperatures 1.0, 1.1, ..., 19.9."""

ROBUST = 2.0 ** (np.arange(-32, 33) / 8)
"""Temperatures from 1/16 to 16."""

SHARE = 0.7
"""Share of the labels that the head is refitted on; the rest chooses the temperature."""


@register(
    "uherding",
    cite="Bae et al., ICLR 2025",
    presets={
        "paper": {"radius": "paper", "temperature": "paper"},
        "robust": {"radius": "robust", "temperature": "robust"},
    },
)
@dataclass(frozen=True, kw_only=True)
class UHerding(Covering):
    """Wants the row that most raises the mean coverage of the pool, each row counting as much as the model is unsure.

    Identity: ``gain(x) = mean_n u_n max(0, k(n, x) - max_(s in L u S) k(n, s))`` with the Gaussian kernel of
    `max_herding`; ``u_n = 1 - (p_(1) - p_(2))`` at a temperature T, 0 on labelled rows, and 1 for all before there is a
    model. The kernel's width shrinks as labels get denser, so that it turns from coverage into margin sampling.

    T has the least calibration error on a random 30 % of the labels, for a logistic head that is refitted on the other
    70 %; a stand-in for the learner's own head, which it equals if that is `linear` with the same penalty.

    Use when: one rule shall serve from the first label on: it covers at first and turns to the boundary as labels get
    denser.

    Avoid when: labels are noisy or near-duplicates many with the settings of the paper, whose smallest distance they
    dictate; robust settings bear it better.

    Pitfalls: with fewer than about four labels the temperature is guessed from almost nothing. Looking at all pairs
    takes time in the square of the pool.

    Attributes:
        radius: width of the kernel. ``paper``: the smallest distance above 0 between labelled rows. ``robust``: a low
            quantile of the distances to the nearest labelled row, near-duplicates left out. 1 with fewer than two rows.
        temperature: ``paper`` tries T from 1 to 19.9, ``robust`` from 1/16 to 16; ``none`` is T = 1.
        penalty: inverse strength of the penalty of the refitted head.
        limit: rows up to which all pairs are looked at; see `Covering`.
    """

    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL", "L", "M")
    radius: Literal["paper", "robust"] = "robust"
    temperature: Literal["paper", "robust", "none"] = "robust"
    penalty: float = 20.0
    needs: ClassVar = (Features(frame="all"), Probs(), Labels())

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.penalty < float("inf"):
            raise SpecError(f"Expected penalty to be positive and finite, got {self.penalty}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        if not state.has_model:
            return self.needs[:1]
        return self.needs[:2] if self.temperature == "none" else self.needs

    def reason(self, utility: float) -> str:
        return f"it raises the coverage of what the model is unsure about by {utility:.3g}" if utility else COVERED

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d, labelled = ev[Features(frame="all")], ev.rows("labelled")
        sigma = (least_distance if self.radius == "paper" else typical_distance)(x_N_d[labelled]) or 1.0
        weight_N = np.ones(len(x_N_d))
        if Probs() in ev.needs:
            order = np.argsort(key.child("split").hash(ev.labelled))
            t = 1.0 if self.temperature == "none" else self._fitting(x_N_d[labelled], ev[Labels()], ev.c, order)
            weight_N[labelled] = 0.0
            weight_N[ev.rows("candidates")] = 1.0 + scores.margin(tempered(ev[Probs()], t))
        return self.covering(ev, x_N_d, gaussian(sigma), b, key, weight_N, per=len(x_N_d))

    def _fitting(self, x_l_d: Array, y_l: LabelArray, c: int, order: Rows) -> float:
        """Return the temperature that suits rows a head was not fitted on; 1 when there are no two rows to split."""
        fitted, held_out = np.split(order, [min(ceil(SHARE * len(order)), len(order) - 1)])
        if not len(fitted):
            return 1.0
        head = fit_logistic(x_l_d[np.sort(fitted)], y_l[np.sort(fitted)], c, self.penalty)
        p = softmax(inner_products(x_l_d[held_out], head.coef) + head.intercept)
        return best_temperature(p, y_l[held_out], PAPER if self.temperature == "paper" else ROBUST)
