"""CLUE: clusters of rows that count as much as the model is unsure about them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Need, Probs
from querist.kernels import scores
from querist.kernels.calibration import tempered
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import representatives_of_all
from querist.seeds import Key
from querist.strategies._kmeans import KMeansStrategy
from querist.strategies.base import Picks, State, register


@register(
    "clue",
    cite="Prabhu et al., ICCV 2021",
    presets={"paper": {"temperature": 1.0, "iterations": 300, "restarts": 10}},
)
@dataclass(frozen=True, kw_only=True)
class Clue(KMeansStrategy):
    """Wants one unlabelled row per cluster of unlabelled rows, where rows pull a centre as much as they are uncertain.

    Weighted k-means, ``min sum_i w_i |x_i - c(i)|^2`` with ``w_i`` the entropy of ``softmax(l_i / T)`` and as many
    clusters as picks; of every cluster the row nearest to its centre. Clusters left empty are replaced by the rows
    farthest from all picks. With equal weights, which is also what is taken when all are 0, it is `kmeans_embeddings`.

    Use when: the model was trained on another domain or on few labels, and a batch is to be both uncertain and spread.

    Avoid when: batches are small against the number of regions the model is unsure of, for then centres lie between
    them; margin or badge lose less there.

    Pitfalls: entropies of a model that is unsure everywhere are nearly equal, and the rule is plain k-means then; a
    temperature below 1 makes them differ. A certain row can still be the nearest to a centre of uncertain ones.

    Attributes:
        temperature: T; the authors' code takes 1 and advises 0.1 to 0.5.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        iterations: the most Lloyd iterations per start; the authors' 300 is the preset ``paper``.
        restarts: starts, of which the one with the lowest weighted inertia is kept; the authors' 10 is in ``paper``.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M")
    temperature: float = 1.0
    space: Literal["auto", "features", "embeddings"] = "auto"
    iterations: int = 100
    restarts: int = 1
    needs: ClassVar = (Probs(), Features(normalise=False))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.temperature < float("inf"):
            raise SpecError(f"Expected temperature to be positive and finite, got {self.temperature}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(), self._need)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_n_d, p_n_c = ev[self._need], ev[Probs()]
        weight_n = scores.entropy(p_n_c if self.temperature == 1.0 else tempered(p_n_c, self.temperature))
        # Divided by the largest, so that equal weights are exactly 1 and change no bit of plain k-means.
        most = float(weight_n.max())
        weight_n = np.ones(len(x_n_d)) if most <= 0.0 else np.maximum(weight_n, 0.0) / most
        clusters = kmeans(
            x_n_d, b, key.generator(), weight_N=weight_n, restarts=self.restarts, iterations=self.iterations
        )
        return Picks(*representatives_of_all(x_n_d, clusters, key.hash(ev.candidates), b))

    @property
    def _need(self) -> Need[Array]:
        return Embeddings() if self.space == "embeddings" else Features(normalise=False)
