"""Votes of the nearest labelled rows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from querist.arrays import Array, Labels
from querist.errors import SpecError
from querist.evidence.provider import Fit
from querist.kernels.inner import scores
from querist.learners.base import register
from querist.learners.frozen import FrozenLearner, ProbsModel

ENTRIES = 1 << 24
"""Similarities of rows and labelled rows that are held at a time."""
TIE = 1e-3
"""Share of a vote that similarity can add: it decides between equal votes and nothing else, for k below 1,000."""


@register("knn", cite="Fix & Hodges 1951; Cover & Hart, IEEE Trans. Information Theory 1967")
@dataclass(frozen=True, kw_only=True)
class KNN(FrozenLearner):
    """The k labelled rows with the largest cosine vote; their shares are the probabilities.

    Equal votes are decided by summed similarity: each voter adds its similarity, scaled to 0..1, as a thousandth of a
    vote. Among equally similar labelled rows the smaller id votes. With fewer than `k` labels all of them vote.

    Attributes:
        k: number of voters.
    """

    seeded: ClassVar[bool] = False
    k: int = 5

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SpecError(f"Expected k of at least 1, got {self.k}.")

    def fit_rows(self, x_l_d: Array, y_l: Labels, job: Fit) -> "KNNModel":
        """Return the labelled rows, which are the model."""
        return KNNModel(features=self.features, c=job.labelled.c, x=x_l_d, y=y_l, k=min(self.k, len(y_l)))


@dataclass(frozen=True, kw_only=True, eq=False)
class KNNModel(ProbsModel):
    """Labelled rows and how many of them vote."""

    x: Array
    y: Labels
    k: int

    def probs(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 shares of the votes; 0 for classes without one."""
        step = max(1, ENTRIES // len(self.x))
        return np.concatenate([self._block(x_n_d[i : i + step]) for i in range(0, len(x_n_d), step)] or [self._none()])

    def _none(self) -> Array:
        return np.empty((0, self.c))

    def _block(self, x_n_d: Array) -> Array:
        similarity_n_l = scores(x_n_d, self.x)
        nearest_n_k = np.argsort(-similarity_n_l, axis=1, kind="stable")[:, : self.k]
        weight_n_k = 1.0 + TIE * (1.0 + np.take_along_axis(similarity_n_l, nearest_n_k, axis=1)) / 2.0
        votes_n_c = np.zeros((len(x_n_d), self.c))
        np.add.at(votes_n_c, (np.arange(len(x_n_d))[:, None], self.y[nearest_n_k]), weight_n_k)
        return votes_n_c / votes_n_c.sum(axis=1, keepdims=True)
