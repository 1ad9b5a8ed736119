"""k-means medoids of unlabelled rows in the space of the task model."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Need
from querist.kernels.kmeans import kmeans
from querist.kernels.representatives import representatives_of_all
from querist.seeds import Key
from querist.strategies._kmeans import KMeansStrategy
from querist.strategies.base import Picks, State, register


@register(
    "kmeans_embeddings", cite="Ueno et al. 2023, arXiv 2312.05751", presets={"S4": {"iterations": 300, "restarts": 10}}
)
@dataclass(frozen=True, kw_only=True)
class KMeansEmbeddings(KMeansStrategy):
    """Wants one unlabelled row per k-means cluster of unlabelled rows, the nearest to the centre, in the model's space.

    As many clusters as picks, of rows as they are: lengths count. Labels that there are do not matter. Clusters left
    empty are replaced by the rows farthest from all picks. It is `clue` with weights that are all equal.

    Use when: the learner trains its own representation and a batch is to spread over what it tells apart now.

    Avoid when: features are frozen and their lengths mean nothing (take kmeans_multi_batch, on unit rows, which also
    knows what is labelled), or labels suffice for a model whose doubts are worth asking for.

    Pitfalls: it looks at no label, so later batches ask for the same regions again. A start takes about a second at 500
    clusters of 50,000 rows; published comparisons took ten, with up to 300 iterations.

    Attributes:
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
        iterations: the most Lloyd iterations per start; the other system's 300 is the preset ``S4``.
        restarts: starts, of which the one with the lowest inertia is kept; the other system's 10 is the preset ``S4``.
    """

    family: ClassVar = "coverage"
    regimes: ClassVar = ("L", "M")
    space: Literal["auto", "features", "embeddings"] = "auto"
    iterations: int = 100
    restarts: int = 1
    needs: ClassVar = (Features(normalise=False),)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (self._need,)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_n_d = ev[self._need]
        clusters = kmeans(x_n_d, b, key.generator(), restarts=self.restarts, iterations=self.iterations)
        return Picks(*representatives_of_all(x_n_d, clusters, key.hash(ev.candidates), b))

    @property
    def _need(self) -> Need[Array]:
        return Embeddings() if self.space == "embeddings" else Features(normalise=False)
