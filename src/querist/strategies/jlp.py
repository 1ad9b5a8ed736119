"""Joint label propagation: what is hardest to reach from the labels along the graph of neighbours."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Array
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need
from querist.kernels.diffusion import diffused, normalised_graph
from querist.kernels.neighbours import nearest_neighbours
from querist.kernels.top import top_b
from querist.seeds import Key
from querist.strategies.base import Picks, State, Strategy, register, require_at_least, require_between

TOLERANCE = 1e-6
"""Of the residual of a diffusion, relative."""


@register(
    "jlp",
    cite="Simeoni, Budnik, Avrithis & Gravier, ICPR 2020, arXiv 1911.08177; diffusion: Iscen et al., CVPR 2017",
    presets={"S1": {"k": 50, "gamma": 3.0, "alpha": 0.99, "steps": 20}},
)
@dataclass(frozen=True, kw_only=True)
class Jlp(Strategy):
    """Wants, one after another, the row that least of the labels reaches along the graph of neighbours.

    Identity: ``f = (I - alpha S)^-1 q``, with ``S`` the normalised graph of ``max(0, x_i . x_j)^gamma`` between
    neighbours and ``q`` 1 at what is labelled or picked; the smallest ``f`` is picked next. The utility is ``-f``. What
    a new pick spreads is added to what was there, which is the same by linearity. Negative similarities are cut off,
    which the published rule does not do. Without labels, the first pick is at random.

    Use when: the pool is spread along shapes that distance does not see, and all parts of them shall get labels.

    Avoid when: there are outliers: nothing reaches them, so they are picked first.

    Pitfalls: rows that no label reaches have ``f = 0`` and come in random order. Each pick takes a diffusion over
    the whole graph: 500 picks of 50,000 rows take minutes.

    Attributes:
        k: neighbours of a row.
        gamma: how fast similarity falls.
        alpha: how far labels spread, between 0 and 1.
        steps: of conjugate gradients per diffusion, at most.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
    """

    k: int = 50
    gamma: float = 3.0
    alpha: float = 0.99
    steps: int = 20
    space: Literal["auto", "features", "embeddings"] = "auto"
    family: ClassVar = "graph diffusion"
    regimes: ClassVar = ("L", "M")
    needs: ClassVar = (Features(frame="all"),)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "k", "steps")
        require_between(self, 0.0, 100.0, "gamma")
        require_between(self, 0.0, 0.9999, "alpha")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Embeddings(frame="all"),) if self.space == "embeddings" else self.needs

    def reason(self, utility: float) -> str:
        return f"what is labelled reaches it least: {-utility:.3g}" if utility else "nothing labelled reaches it"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        x_N_d = unit_rows(ev[Embeddings(frame="all")]) if self.space == "embeddings" else ev[Features(frame="all")]
        graph = normalised_graph(x_N_d, nearest_neighbours(x_N_d, self.k)[0], self.gamma)
        source_N = np.zeros(len(x_N_d))
        source_N[ev.rows("labelled")] = 1.0
        field_N = self._diffused(graph, source_N)
        place_n, tie_n = ev.rows("candidates"), key.hash(ev.candidates)
        rest, picked, reached = np.arange(len(place_n)), [], []
        for _ in range(b):
            at = int(top_b(-field_N[place_n[rest]], tie_n[rest], 1)[0])
            row = int(rest[at])
            picked.append(row)
            reached.append(field_N[place_n[row]])
            rest = np.delete(rest, at)
            alone_N = np.zeros(len(x_N_d))
            alone_N[place_n[row]] = 1.0
            field_N += self._diffused(graph, alone_N)
        return Picks(np.array(picked), 0.0 - np.array(reached))

    def _diffused(self, graph: Any, source_N: Array) -> Array:
        return diffused(graph, source_N, self.alpha, steps=self.steps, tolerance=TOLERANCE)
