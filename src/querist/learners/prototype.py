"""Nearest class mean."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Bools, Labels
from querist.errors import SpecError
from querist.evidence.features import unit_rows
from querist.evidence.provider import Fit
from querist.kernels.inner import scores, softmax
from querist.learners.base import register
from querist.learners.frozen import FrozenLearner, ProbsModel


@register("prototype", cite="Snell, Swersky & Zemel, NeurIPS 2017 (cosine form)")
@dataclass(frozen=True, kw_only=True)
class Prototype(FrozenLearner):
    """Softmax of the cosine to each class's mean labelled row, divided by a temperature.

    A class without labels has probability 0.

    Attributes:
        temperature: smaller is surer; it changes probabilities, never the predicted class.
    """

    seeded: ClassVar[bool] = False
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise SpecError(f"Expected a temperature above 0, got {self.temperature}.")

    def fit_rows(self, x_l_d: Array, y_l: Labels, job: Fit) -> "PrototypeModel":
        """Return one unit prototype per class."""
        c = job.labelled.c
        sums_c_d = np.zeros((c, x_l_d.shape[1]))
        np.add.at(sums_c_d, y_l, x_l_d.astype(np.float64))
        seen_c = np.bincount(y_l, minlength=c) > 0
        return PrototypeModel(
            features=self.features, c=c, prototypes=unit_rows(sums_c_d), seen=seen_c, temperature=self.temperature
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PrototypeModel(ProbsModel):
    """Unit prototypes ``(c, d)`` and which classes have one."""

    prototypes: Array
    seen: Bools
    temperature: float

    def probs(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 probabilities; exactly 0 for a class without labels."""
        logits = scores(x_n_d, self.prototypes) / self.temperature
        logits[:, ~self.seen] = -np.inf
        return softmax(logits)
