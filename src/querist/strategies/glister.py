"""GLISTER: rows whose gradient steps lower the loss on validation rows."""

from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Labels as LabelArray, Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Gradients, Labels, Need, Probs
from querist.kernels.glister import Validation, glister_greedy
from querist.kernels.matching import Products, gradient_sum
from querist.seeds import Key
from querist.strategies._gradients import TARGETS, by_id
from querist.strategies.base import Picks, State, Strategy, register, require_between

BOUGHT, OF_TARGETS = Gradients(frame="labelled"), Labels(frame="targets")


@register(
    "glister",
    cite="Killamsetty et al., AAAI 2021",
    presets={"S4": {"regulariser": "diversity", "strength": 10.0}},
)
@dataclass(frozen=True, kw_only=True)
class Glister(Strategy):
    """Wants rows whose assumed gradient steps lower the loss on validation rows the most.

    The last layer first takes a step of length `eta` against the gradient of the labelled rows. G is the mean gradient
    on the validation rows there; row j gains ``<g_j, G>``, ``g_j = (p_j - e_yhat) (x) z_j``. After each pick its step
    is taken, in closed form on logits, and G computed anew, always as a mean. With ``validation`` the validation rows
    are the validation set, and results are flagged so; without, they are the labelled rows and the pool itself, with
    its most likely classes for labels.

    Use when: there is a small validation set that is like the data the model will meet (`validation`).

    Avoid when: the model is poor and there is no validation set: then it is taught its own mistakes.

    Pitfalls: without a regulariser near-copies are picked one after another; validation labels cost budget.

    Attributes:
        eta: length of a step: the learning rate of the training it foresees. 0.01 is ours.
        regulariser: ``rand`` draws a share `strength` of the batch at random, after the others; ``diversity`` takes
            ``strength sum_s exp(-|g_j - g_s|^2 / 2)`` away, over picks s; ``fac_loc`` adds `strength` times the
            decrease of the sum of distances to the nearest pick in gradient space, 0 counting as the first one, and
            takes time O(n^2 (c + d)).
        strength: weight of the regulariser; 0, as it is unless given, switches it off.
        validation: use the validation set.
    """

    eta: float = 0.01
    regulariser: Literal["none", "rand", "fac_loc", "diversity"] = "none"
    strength: float = 0.0
    validation: bool = False
    needs: ClassVar = (Gradients(), Probs(), BOUGHT, Labels())
    family: ClassVar = "submodular"
    regimes: ClassVar = ("M", "H")

    def __post_init__(self) -> None:
        require_between(self, 0.0, np.inf, "eta", "strength")
        if self.regulariser == "rand" and self.strength > 1.0:
            raise SpecError(f"Expected strength to be a share of the batch, at most 1, got {self.strength}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Gradients(), BOUGHT, TARGETS, OF_TARGETS) if self.validation else self.needs

    def flags(self) -> frozenset[str]:
        return frozenset({"validation"} if self.validation else ())

    def reason(self, utility: float) -> str:
        if self.regulariser == "rand" and not utility:
            return "drawn at random, for a share of the batch is"
        return f"training on it should lower the loss on validation rows: its gain is {utility:.3g}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        rows, factors = by_id(ev)
        drawn = floor(self.strength * b + 0.5) if self.regulariser == "rand" else 0
        picked, gain = rows[:0], np.empty(0)
        if drawn < b:
            validation = self._validation(ev, rows, factors.embedding)
            validation.step(self.eta * gradient_sum(*ev[BOUGHT]))
            picked, gain = glister_greedy(
                Products(*factors, key.hash(ev.candidates[rows])), factors, validation, b - drawn, eta=self.eta,
                regulariser="none" if self.regulariser == "rand" else self.regulariser, strength=self.strength,
            )  # fmt: skip
        rest = np.setdiff1d(np.arange(len(rows)), picked)
        others = rest[np.argsort(key.hash(ev.candidates[rows[rest]]))][:drawn]
        return Picks(rows[np.append(picked, others)], np.append(gain, np.zeros(drawn)))

    def _validation(self, ev: Evidence, rows: Rows, embedding_n_d: Array) -> Validation:
        if self.validation:
            (residual, embedding), label = ev[TARGETS], ev[OF_TARGETS]
            return Validation(_restored(residual, label), label, embedding)
        p_n_c, label = ev[Probs()][rows], ev[Labels()]
        residual, embedding = ev[BOUGHT]
        return Validation(
            np.concatenate([p_n_c, _restored(residual, label)]),
            np.concatenate([p_n_c.argmax(axis=1), label]),
            np.concatenate([embedding_n_d, embedding]),
        )


def _restored(residual: Array, label: LabelArray) -> Array:
    """Return the probabilities that residuals were made of."""
    p = residual.copy()
    p[np.arange(len(p)), label] += 1.0
    return p
