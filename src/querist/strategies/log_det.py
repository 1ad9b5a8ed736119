"""Log-determinant: picks that span as much as possible, as a determinantal point process likes them best."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.kernels.likeness import Likeness
from querist.kernels.log_det import LogDet as Determinant
from querist.kernels.maximise import maximise
from querist.seeds import Key
from querist.strategies._submodular import SimilarityFunction
from querist.strategies.base import register, require_between

LEAST = 1e-6
"""The smallest ridge: what rounding does to similarities of float32 rows stays below it."""


@register("log_det", cite="Kulesza & Taskar, Foundations and Trends in ML 2012; Chen, Zhang & Zhou, NeurIPS 2018")
@dataclass(frozen=True, kw_only=True)
class LogDet(SimilarityFunction):
    """Wants the row that the picks explain least, as a Gaussian process would say.

    Identity: ``f(A) = logdet(S_A + ridge * I)`` with ``s = (1 + cos) / 2``; ``gain(x) = log d_x^2``, the pivot of x in
    the Cholesky factorisation of the picks followed by x. Submodular; where the ridge is 1 or more also monotone.

    Use when: the picks shall differ in every direction, with less taste for outliers than k-center has.

    Avoid when: a batch shall represent the pool: it knows nothing of density.

    Pitfalls: with a small ridge gains turn negative once all directions are taken, and the rest of the batch is
    chosen by rounding; with a large one, all gains are nearly alike. The first pick is a tie, so it is random.

    Attributes:
        ridge: what is added to the similarity of a row to itself; a duplicate of a pick adds about log(2 ridge).
    """

    regimes: ClassVar = ("VL", "L")
    ridge: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, LEAST, float("inf"), "ridge")

    def reason(self, utility: float) -> str:
        return f"it adds {utility:.3g} to the log-determinant of the batch"

    def best(self, likeness: Likeness, ids: Ids, b: int, key: Key) -> tuple[Rows, Array]:
        objective = Determinant(likeness, self.ridge, b)
        return maximise(objective, np.arange(len(ids)), ids, b, key, self.maximiser, self.epsilon)
