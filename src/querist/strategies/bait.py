"""BAIT: batches whose Fisher information is that of the pool."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from querist.arrays import Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Need, Probs
from querist.kernels.fisher import forward_backward, information, leading
from querist.seeds import Key
from querist.strategies.base import Picks, State, Strategy, register, require_at_least


@register(
    "bait",
    cite="Ash et al., NeurIPS 2021",
    presets={"paper": {"ridge": 1.0, "oversampling": 2.0}, "paper_cifar": {"ridge": 0.01, "oversampling": 2.0}},
)
@dataclass(frozen=True, kw_only=True)
class Bait(Strategy):
    """Wants the batch after which the last layer's parameters are known best where the pool needs them.

    Minimises ``tr(M^-1 F)``: F is the mean Fisher information ``(diag(p) - p p^T) (x) z z^T`` of the whole pool, and
    ``M = ridge + (sum_(i in L) I_i + b sum_(i in S) I_i) / (|L| + b)``, where the factor b is the authors' code's.
    Rows are added one by one up to ``oversampling * b``, then removed one by one down to b.

    Inputs of the last layer are reduced to their leading axes, so that classes times axes stay within `parameters`.
    They are not centred and not scaled, and follow from all rows of the pool, so frozen features keep their axes.

    Use when: the model's last layer is linear, classes are few, and a batch of tens to hundreds should serve the whole
    pool.

    Avoid when: there are more classes than about 50, for then one or two axes are left of the features, and work grows
    with the cube of `parameters`.

    Pitfalls: of a pool larger than `limit` only a random sample is looked at (F is that of the whole pool). With
    `ridge` large against the information of a batch, it is near to a plain ranking.

    Attributes:
        ridge: what is added to the diagonal of M; the authors take 1, and 0.01 on CIFAR-10.
        oversampling: rows added per pick before removal.
        parameters: the most classes times axes; at least one axis is kept. The authors do not reduce.
        limit: with more candidates than this, a random sample of so many is looked at.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("L", "M")
    ridge: float = 1.0
    oversampling: float = 2.0
    parameters: int = 128
    limit: int = 10_000
    space: Literal["auto", "features", "embeddings"] = "auto"
    needs: ClassVar = (Probs(frame="all"), Features(frame="all"))

    def __post_init__(self) -> None:
        require_at_least(self, 1, "parameters", "limit")
        if not 0.0 < self.ridge < float("inf"):
            raise SpecError(f"Expected ridge to be positive and finite, got {self.ridge}.")
        if not 1.0 <= self.oversampling < float("inf"):
            raise SpecError(f"Expected oversampling to be finite and 1 or larger, got {self.oversampling}.")

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(frame="all"), Embeddings(frame="all")) if self.space == "embeddings" else self.needs

    def reason(self, utility: float) -> str:
        return f"labelling it lowers what is unknown of the model, where the pool needs it, by {utility:.3g}"

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        probs, space = self.needs_at(State(has_model=True))
        p_N_c, labelled = ev[probs], ev.rows("labelled")
        z_N_r = leading(ev[space], max(1, self.parameters // ev.c))
        fisher = information(p_N_c, z_N_r) / len(p_N_c)
        total = len(labelled) + b
        known = self.ridge * np.eye(len(fisher)) + information(p_N_c[labelled], z_N_r[labelled]) / total
        rows = self._looked_at(ev, b, key)
        among = ev.rows("candidates")[rows]
        batch = forward_backward(
            p_N_c[among], z_N_r[among], fisher, known, b / total, key.hash(ev.candidates[rows]), b,
            forward=min(len(rows), max(b, int(self.oversampling * b))),
        )  # fmt: skip
        return Picks(rows[batch.rows], batch.gain)

    def _looked_at(self, ev: Evidence, b: int, key: Key) -> Rows:
        """Return the candidates, or a random sample of them that is large enough for the batch."""
        n, most = len(ev.candidates), max(self.limit, int(self.oversampling * b))
        return np.arange(n) if n <= most else np.sort(np.argsort(key.child("sample").hash(ev.candidates))[:most])
