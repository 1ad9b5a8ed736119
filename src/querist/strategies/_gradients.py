"""What strategies on gradients share: candidates in the order of their ids, and gradients to be matched."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array, Rows
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Factors, Gradients, Need
from querist.kernels.matching import Products, gradient_sum
from querist.seeds import Key
from querist.strategies.base import State, Strategy

TARGETS = Gradients(frame="targets")


def by_id(ev: Evidence) -> tuple[Rows, Factors]:
    """Return the candidates' rows by rising id, and their gradients: sums over them then depend on no other order."""
    factors, order = ev[Gradients()], np.argsort(ev.candidates)
    if (order[1:] > order[:-1]).all():
        return order, factors
    return order, Factors(factors.residual[order], factors.embedding[order])


@dataclass(frozen=True, kw_only=True)
class Matching(Strategy):
    """A strategy whose picks' gradients shall add up to that of many rows.

    Attributes:
        scaling: the picks are to match ``b`` times (``batch``) or ``n`` times (``pool``) the mean gradient.
        validation: match the gradient of the validation set, with its true labels, instead of that of the pool.
    """

    scaling: Literal["batch", "pool"] = "batch"
    validation: bool = False
    needs: ClassVar = (Gradients(),)
    family: ClassVar = "submodular"
    regimes: ClassVar = ("M", "H")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Gradients(), TARGETS) if self.validation else self.needs

    def flags(self) -> frozenset[str]:
        return frozenset({"validation"} if self.validation else ())

    def problem(self, ev: Evidence, b: int, key: Key) -> tuple[Rows, Products, Array]:
        """Return the candidates' rows by id, the products of their gradients, and the target ``(c, d)``."""
        rows, factors = by_id(ev)
        matched = ev[TARGETS] if self.validation else factors
        scale = (b if self.scaling == "batch" else len(rows)) / max(len(matched.residual), 1)
        return rows, Products(*factors, key.hash(ev.candidates[rows])), scale * gradient_sum(*matched)
