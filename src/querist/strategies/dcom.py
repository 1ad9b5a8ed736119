"""DCoM: coverage while the labelled balls cover little, margin once they cover the pool."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from querist.arrays import Bools
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels, Need, Probs
from querist.kernels import scores
from querist.kernels.label_balls import OnGraph, OnPairs, Uncovered, covered, mixed_greedy, pure_radii
from querist.kernels.radius_graph import radius_graph
from querist.seeds import Key
from querist.strategies._whole import places
from querist.strategies.base import Picks, State, register
from querist.strategies.prob_cover import DEGREE, ProbCover

REACH, RESOLUTION = 1.1, 0.05
"""The largest radius of a labelled ball, and how exactly it is sought."""

BASE, SLOPE = 0.4, 0.2
"""The purity a labelled ball must have when nothing is covered, and how much more when everything is."""


@register(
    "dcom",
    cite="Mishal & Weinshall 2024, arXiv 2407.01804",
    presets={
        "paper": {"delta": None, "steepness": 50.0, "centre": 0.8},
        "cifar10_simclr": {"delta": 0.75, "steepness": 50.0, "centre": 0.8},
    },
)
@dataclass(frozen=True, kw_only=True)
class DCoM(ProbCover):
    """Wants rows with small margins and many uncovered neighbours; the better labels cover the pool, the more margins.

    Every labelled row has a ball of its own: the largest, found by bisection up to 1.1, of whose rows a share
    ``0.4 + 0.2 c`` is predicted to have its label. With c the share of the pool in these balls, the competence
    ``s = (1 + exp(-k (1 - a))) / (1 + exp(-k (c - a)))`` weighs ``s norm(u) + (1 - s) norm(degree)``: u is 1 minus the
    margin, scaled to 0..1, the degree counts uncovered rows within the mean radius, and norm divides by the largest.
    Picks cover their balls. Before there is a model this is `prob_cover`.

    The authors keep a radius once found, and require a purity that follows the coverage of their last round. Here
    nothing is remembered: all radii are found anew from the labels and the model of the round, for a purity that
    follows the coverage with all radii at the initial one, so the same labels always give the same picks.

    Use when: the budget grows from a few labels to many and one rule is to serve throughout, on features in whose
    neighbourhoods classes agree.

    Avoid when: features mix the classes: balls then stay small, competence near 0, and it goes on covering.

    Pitfalls: the initial radius matters as in `prob_cover`; predictions of a model with few labels make impure balls
    look pure. Time grows with the square of the pool.

    Attributes:
        delta: the initial radius; None finds it as `prob_cover` does.
        purity: share of balls that must be pure at that radius, as in `prob_cover`.
        steepness: k, how sharply competence rises.
        centre: a, the coverage around which it rises.
        limit: with more rows, uncovered neighbours are counted in a random sample, ``limit^2 / N`` rows.
    """

    steepness: float = 50.0
    centre: float = 0.8
    family: ClassVar = "budget-adaptive"
    regimes: ClassVar = ("VL", "L", "M", "H")
    needs: ClassVar = (Features(frame="all"), Probs(), Labels())

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.steepness < float("inf"):
            raise SpecError(f"Expected steepness to be positive and finite, got {self.steepness}.")
        if not isfinite(self.centre):
            raise SpecError(f"Expected centre to be finite, got {self.centre}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return self.needs if state.has_model else self.needs[:1]

    def reason(self, utility: float) -> str:
        return f"by its margin and the uncovered items around it, it scores {utility:.3g}"

    def reasons(self, picks: Picks) -> list[str]:
        # Picks of prob_cover, which it is before there is a model, come with a certificate.
        words = self.reason if picks.certificate is None else super().reason
        return [words(utility) for utility in np.asarray(picks.utility).tolist()]

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        if Probs() not in ev.needs:
            return super().select(ev, b, key)
        x_N_d, labelled, place_N = ev[Features(frame="all")], ev.rows("labelled"), places(ev)
        label_N, unsure_N = np.zeros(len(x_N_d), np.int64), np.zeros(len(x_N_d))
        candidates = ev.rows("candidates")
        label_N[labelled], label_N[candidates] = ev[Labels()], ev[Probs()].argmax(axis=1)
        margin_n = scores.margin(ev[Probs()])
        spread = margin_n.max() - margin_n.min()
        unsure_N[candidates] = (margin_n - margin_n.min()) / (spread if spread > 0.0 else 1.0)

        delta = self._pure(x_N_d, ev.c, key) if self.delta is None else self.delta
        purity = BASE + SLOPE * covered(x_N_d, labelled, np.full(len(labelled), delta)).mean()
        radius_l = pure_radii(x_N_d, labelled, label_N, purity, reach=REACH, resolution=RESOLUTION)
        covered_N = covered(x_N_d, labelled, radius_l)
        share = competence(float(covered_N.mean()), self.steepness, self.centre)
        mean = float(radius_l.mean()) if len(labelled) else delta
        uncovered = self._uncovered(ev, mean, covered_N, b, key)
        rows, score = mixed_greedy(uncovered, unsure_N, share, place_N >= 0, key.hash(ev.all), b)
        return Picks(place_N[rows], score)

    def _uncovered(self, ev: Evidence, delta: float, covered_N: Bools, b: int, key: Key) -> Uncovered:
        x_N_d = ev[Features(frame="all")]
        N = len(x_N_d)
        counted_N = ~covered_N
        if self.limit >= N:
            graph = radius_graph(x_N_d, delta, most=DEGREE * N // 2)
            if graph is not None:
                return OnGraph(graph, covered_N)
        else:
            counted_N &= key.child("references").uniform(ev.all) < (self.limit / N) ** 2
        return OnPairs(x_N_d, delta, counted_N, b)


def competence(coverage: float, steepness: float, centre: float) -> float:
    """Return ``(1 + exp(-k (1 - a))) / (1 + exp(-k (c - a)))``: rises with the coverage c, up to 1 at c = 1."""
    # As differences of logarithms, which large exponents do not overflow.
    top, bottom = np.logaddexp(0.0, -steepness * (1.0 - centre)), np.logaddexp(0.0, -steepness * (coverage - centre))
    return float(np.exp(top - bottom))
