"""Temporal output discrepancy."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Logits, Need, Previous, Probs
from querist.strategies.base import Scoring, State, register


@register(
    "tod",
    cite="Huang et al., ICCV 2021 (arXiv 2107.14153)",
    presets={"paper": {"space": "logits"}, "S2": {}},
)
@dataclass(frozen=True, kw_only=True)
class TOD(Scoring):
    """Wants the rows about which the model changed its mind most since the round before.

    The score is half the squared Euclidean distance between the outputs of the two models, at most 1 for
    probabilities. In the first round there is no earlier model, so all rows score zero and are drawn at random, as
    `random` draws them. The paper compares raw outputs and takes the norm, whose order is the same.

    Use when: training is cheap to repeat and rounds are large enough for the model to move between them; it costs one
    more pass and no change to the training.

    Avoid when: labels are few and every fit differs much from the last, or the head is fitted to convergence on frozen
    features and hardly moves: then the change says little about the loss.

    Pitfalls: two fits that differ in seed alone differ too, and the score cannot tell that from learning. Arrays of one
    round cannot carry it, so it runs in sessions and studies only.

    Attributes:
        space: ``probs`` compares probabilities, ``logits`` raw outputs, as the paper does. What all logits of a row
            have in common, which changes no prediction, is first taken out of them; that is ours.
    """

    family: ClassVar = "auxiliary model"
    regimes: ClassVar = ("M", "H")
    space: Literal["probs", "logits"] = "probs"

    @property
    def output(self) -> Need[Array]:
        """What is compared."""
        return Probs() if self.space == "probs" else Logits()

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (self.output, Previous(need=self.output)) if state.round >= 1 else ()

    def reason(self, utility: float) -> str:
        if utility == 0.0:
            return "drawn at random: there is no earlier round to compare with, or nothing changed since"
        return f"the model changed its mind about it since the last round: discrepancy {utility:.3g}"

    def score(self, ev: Evidence) -> Array:
        if self.output not in ev.needs:
            return np.zeros(len(ev.candidates))
        change_n_c = ev[self.output].astype(np.float64) - ev[Previous(need=self.output)]
        if self.space == "logits":
            change_n_c -= change_n_c.mean(axis=1, keepdims=True)
        return 0.5 * np.einsum("nc,nc->n", change_n_c, change_n_c)
