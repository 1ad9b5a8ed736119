"""Feature-based selection: as much as possible of every feature, with diminishing returns."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.errors import DataError
from querist.kernels.likeness import Likeness
from querist.kernels.maximise import maximise
from querist.kernels.set_functions import Concave, FeatureMass
from querist.seeds import Key
from querist.strategies._submodular import SubmodularFunction
from querist.strategies.base import register


@register(
    "feature_based",
    cite="Wei, Iyer & Bilmes, ICML 2015",
    presets={"paper": {"concave": "sqrt"}, "log": {"concave": "log"}, "inverse": {"concave": "inverse"}},
)
@dataclass(frozen=True, kw_only=True)
class FeatureBased(SubmodularFunction):
    """Wants the row that adds most to features of which the picks have little so far.

    Identity: ``f(A) = sum_u g(sum_(j in A) x_ju)`` over the features u of unit rows, g concave, so
    ``gain(x) = sum_u g(m_u + x_u) - g(m_u)`` with ``m_u`` the mass picked. Monotone and submodular: greedy reaches at
    least 1 - 1/e of the best possible. A feature that takes both signs is two features, ``max(x, 0)`` and
    ``max(-x, 0)``, for the function needs values of 0 or more.

    Use when: features mean something one by one and are 0 or more, such as counts, bags of words, or activations
    behind a ReLU; it takes no pairs, so it is quick on any pool.

    Avoid when: the axes of the features are arbitrary, as those of principal components are: it depends on them.

    Pitfalls: it balances features, not rows: a row with many small entries beats a typical one. It knows nothing of
    labels, so it may pick near what is labelled.

    Attributes:
        concave: g: ``sqrt(m)``, ``log(1 + m)``, ``m / (1 + m)`` (``inverse``), or ``m``, which takes the largest sums.
        negative: what becomes of negative values: a feature of their own (``split``, which is ours), or an ``error``.
    """

    regimes: ClassVar = ("VL", "L")
    concave: Concave = "sqrt"
    negative: Literal["split", "error"] = "split"

    def reason(self, utility: float) -> str:
        return f"it adds {utility:.3g} to features that the picks have little of"

    def best(self, likeness: Likeness, ids: Ids, b: int, key: Key) -> tuple[Rows, Array]:
        (x_n_d,) = likeness.factors
        if self.negative == "error" and len(x_n_d) and x_n_d.min() < 0:
            bad = ids[(x_n_d < 0).any(axis=1)]
            raise DataError(
                f"feature_based: expected features of 0 or more, got negative ones in {len(bad)} rows, the first of id "
                f"{bad[0]}. Use negative='split', or an encoder whose features are not negative."
            )
        objective = FeatureMass(x_n_d, self.concave)
        return maximise(objective, np.arange(len(ids)), ids, b, key, self.maximiser, self.epsilon)
