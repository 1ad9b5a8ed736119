"""Labels spread over the graph of neighbours of frozen features: the pool itself says where its classes lie."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import numpy as np

from querist.arrays import Array, Bools, Ids, Labels
from querist.evidence.needs import Need, Probs
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.kernels.diffusion import normalised_graph
from querist.kernels.inner import scores
from querist.kernels.neighbours import nearest_neighbours
from querist.kernels.propagation import propagated
from querist.learners.base import register
from querist.learners.frozen import FrozenLearner, ProbsModel
from querist.nets.bounds import require_options, require_within

T = TypeVar("T")

ENTRIES = 1 << 22
"""Similarities of rows and the graph that are held at a time."""
TOLERANCE = 1e-6
"""Of the residual of a class, relative."""


@register(
    "propagation",
    cite="Zhou, Bousquet, Lal, Weston & Schölkopf, NeurIPS 2003; weights of edges: Iscen et al., CVPR 2019; rows "
    "outside the graph: Delalleau, Bengio & Le Roux, AISTATS 2005",
    presets={"s1": {"k": 50, "gamma": 3.0, "alpha": 0.99, "steps": 20}},
)
@dataclass(frozen=True, kw_only=True)
class Propagation(FrozenLearner):
    """Spreads the labels over the graph of neighbours among labelled rows and candidates, once per fit.

    Identity: ``Z = (I - alpha S)^-1 Y``, with ``S`` the normalised graph of ``max(0, x_i . x_j)^gamma`` between
    neighbours and ``Y`` one over the number of labels of a class at each of them; probabilities are the shares of the
    classes in a row of ``Z``. Rows that were in the graph have theirs; any other row has the mean over the `k` rows of
    the graph it is most similar to, weighted as edges are. A row that no label reaches is given 1/c for every class.

    It helps with a few labels per class on features whose neighbours share a class. On digits (1,297 rows, class
    balanced labels, mean of 12 sets) test accuracy at 1, 2 and 5 labels per class is 0.885, 0.920 and 0.950; that of
    ``linear`` is 0.648, 0.742 and 0.859. With the preset ``s1`` it is 0.786, 0.837 and 0.857: no better at 5.

    It hurts where neighbours differ in class, for it then spreads mistakes as surely as labels. A skewed batch is made
    more of: a class that was missed has no source at all, its rows go to the nearest that has one, and a strategy that
    queries by these probabilities sees confident rows there and leaves them alone. With 50 labels of 7 of the 10
    digits, each half as frequent as the one before, accuracy is 0.561 where balanced labels gave 0.950 (``linear``:
    0.387 and 0.859). Compare with ``linear`` on labels that were set aside.

    A fit finds all neighbours of all rows, which takes the square of their number: about a second for 10,000 rows of
    256 features on one core, a minute for 100,000.

    Attributes:
        k: neighbours of a row.
        gamma: how fast similarity falls.
        alpha: how far labels spread, between 0 and 1.
        steps: of conjugate gradients, at most; also the longest path a label can take.
        pooling: ``mean``: all classes start with the same amount, however many labels they have; ``sum``: all labels.
    """

    seeded: ClassVar[bool] = False
    k: int = 10
    gamma: float = 3.0
    alpha: float = 0.9
    steps: int = 20
    pooling: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        require_options(self)
        require_within("k", self.k, 1, math.inf)
        require_within("steps", self.steps, 1, math.inf)
        require_within("gamma", self.gamma, 0, 100)
        require_within("alpha", self.alpha, 0, 0.9999)

    def fit_rows(self, x_l_d: Array, y_l: Labels, job: Fit) -> "PropagationModel":
        """Return what the labels say of all rows of the job; rows of the pool are read without labels."""
        ids = np.union1d(job.labelled.ids, job.pool.ids)
        x_N_d = np.empty((len(ids), x_l_d.shape[1]), x_l_d.dtype)
        x_N_d[np.searchsorted(ids, job.pool.ids)] = job.pool[self.features]
        x_N_d[rows_l := np.searchsorted(ids, job.labelled.ids)] = x_l_d
        graph = normalised_graph(x_N_d, nearest_neighbours(x_N_d, self.k)[0], self.gamma)
        found = propagated(
            graph, rows_l, y_l, job.labelled.c,
            alpha=self.alpha, steps=self.steps, tolerance=TOLERANCE, pooling=self.pooling,
        )  # fmt: skip
        return PropagationModel(
            features=self.features, c=job.labelled.c, ids=ids, x=x_N_d, p=found.p, reached=found.reached,
            k=min(self.k, len(ids)), gamma=self.gamma,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class PropagationModel(ProbsModel):
    """The rows of a graph and what its labels say of them.

    Attributes:
        ids: of the rows, ascending.
        x: their unit features ``(N, d)``.
        p: their probabilities ``(N, c)``.
        reached: whether a label reaches them.
        k: rows of the graph that speak for one outside it.
        gamma: of their weights.
    """

    ids: Ids
    x: Array
    p: Array
    reached: Bools
    k: int
    gamma: float

    def provide(self, need: Need[T], view: View) -> T:
        """Return the probabilities of the rows of a view: those found for rows of the graph, means for others.

        Raises:
            UnmetNeedError: it provides no such thing; says why.
        """
        if type(need) is not Probs:
            return super().provide(need, view)
        place_n = np.minimum(np.searchsorted(self.ids, view.ids), len(self.ids) - 1)
        inside_n = self.ids[place_n] == view.ids
        p_n_c = self.p[place_n]
        if not inside_n.all():
            outside = np.flatnonzero(~inside_n)
            p_n_c[outside] = self.probs(view.take(outside)[self.features])
        return p_n_c  # pyright: ignore[reportReturnType]

    def probs(self, x_n_d: Array) -> Array:
        """Return ``(n, c)`` float64 probabilities of rows outside the graph."""
        step = max(1, ENTRIES // len(self.x))
        parts = [self._block(x_n_d[start : start + step]) for start in range(0, len(x_n_d), step)]
        return np.concatenate(parts) if parts else np.empty((0, self.c))

    def _block(self, x_n_d: Array) -> Array:
        similarity_n_N = scores(x_n_d, self.x)
        # All that are as similar as the k-th speak, so equally near rows need no order.
        least_n = np.partition(similarity_n_N, -self.k, axis=1)[:, -self.k]
        near_n_N = (similarity_n_N >= least_n[:, None]) & self.reached
        weight_n_N = np.zeros(similarity_n_N.shape)
        weight_n_N[near_n_N] = np.maximum(similarity_n_N[near_n_N], 0.0) ** self.gamma
        p_n_c = scores(weight_n_N, self.p.T)
        total_n = p_n_c.sum(axis=1, keepdims=True)
        return np.divide(p_n_c, total_n, out=np.full(p_n_c.shape, 1.0 / self.c), where=total_n > 0)
