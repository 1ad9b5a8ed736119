"""Contrastive active learning: rows the model answers differently than for the labelled rows around them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from querist.arrays import Array
from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Need, Probs
from querist.kernels.contrast import contrast
from querist.strategies.base import Scoring, State, register, require_at_least


@register("contrastive_al", cite="Margatina et al., EMNLP 2021", aliases=("cal",), presets={"paper": {"k": 10}})
@dataclass(frozen=True, kw_only=True)
class ContrastiveAL(Scoring):
    """Wants the rows about which the model says something else than about the labelled rows most similar to them.

    Identity: ``u_i = mean_(j in NN_k(i; L)) KL(p_j || p_i)`` in nats; neighbours by cosine, ``p_j`` what the model says
    of a labelled row and not its label. All labelled rows are neighbours where there are fewer than `k`.

    Use when: similar items should have the same class, features are good, and there are tens of labels per class.

    Avoid when: there are few labels: the nearest of them are far away, and disagreement with them means nothing.

    Pitfalls: a divergence is unbounded, so it chases rows the model is sure of and wrongly so, and mislabelled
    neighbours with them. Rows are scored one by one: a batch repeats itself.

    Attributes:
        k: labelled neighbours.
        floor: probabilities below it count as it in a logarithm; ours, the authors have none.
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
    """

    family: ClassVar = "hybrid"
    regimes: ClassVar = ("M", "H")
    k: int = 10
    floor: float = 1e-6
    space: Literal["auto", "features", "embeddings"] = "auto"

    def __post_init__(self) -> None:
        require_at_least(self, 1, "k")
        require_floor(self.floor)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(), Probs(frame="labelled"), *self._spaces)

    def reason(self, utility: float) -> str:
        return f"the model says something else about it than about similar labelled items, by {utility:.3g} nats"

    def score(self, ev: Evidence) -> Array:
        x_n_d, x_l_d = (ev[need] for need in self._spaces)
        p_n_c, p_l_c = ev[Probs()], ev[Probs(frame="labelled")]
        if not len(x_l_d):
            raise UsageError(
                "strategy 'contrastive_al' compares with labelled rows, and there are none. Label some first, e.g. "
                "those that 'random' or 'typiclust' picks."
            )
        if self.space == "embeddings":
            x_n_d, x_l_d = unit_rows(x_n_d), unit_rows(x_l_d)
        return contrast(p_n_c, x_n_d, p_l_c, x_l_d, self.k, self.floor)

    @property
    def _spaces(self) -> tuple[Need[Array], Need[Array]]:
        if self.space == "embeddings":
            return Embeddings(), Embeddings(frame="labelled")
        return Features(), Features(frame="labelled")


def require_floor(floor: float) -> None:
    """Raise `SpecError` unless a floor of probabilities is one."""
    if not 0.0 < floor < 1.0:
        raise SpecError(f"Expected floor to be above 0 and below 1, got {floor}.")
