"""What strategies that maximise a set function share: which rows are alike, how it is maximised, what it refuses."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from querist.arrays import Array, Ids, Rows
from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Gradients, Need
from querist.kernels.likeness import Likeness
from querist.kernels.maximise import Method
from querist.seeds import Key
from querist.strategies.base import Picks, State, Strategy

Layer: TypeAlias = Literal["bias", "linear", "bias_linear"]
"""Parameters of the last layer that a gradient is with respect to."""

LAZY = ("lazy", "lazier_than_lazy")


def directed(unit_n_d: Array) -> Array:
    """Return unit rows as they are; rows of zeros, if there are any, get a direction that they share and no other."""
    zero_n = ~unit_n_d.any(axis=1)
    return np.column_stack([unit_n_d, zero_n.astype(unit_n_d.dtype)]) if zero_n.any() else unit_n_d


def alike_by_gradients(ev: Evidence, layer: Layer, *, labelled: bool) -> Likeness:
    """Return how alike last-layer gradients are, never written out: rows are those of the frame ``all``.

    The gradients of candidates are with respect to hypothesised labels, those of labelled rows to the true ones. If
    `labelled` is False rows of the frame ``candidates``.
    """
    residual, embedding = ev[Gradients()]
    if labelled:
        known = ev[Gradients(frame="labelled")]
        residual, embedding = (_merged(ev, own, other) for own, other in zip((residual, embedding), known, strict=True))
    if layer == "bias":
        return Likeness(directed(unit_rows(residual)))
    if layer == "bias_linear":
        embedding = np.column_stack([embedding, np.ones(len(embedding), embedding.dtype)])
    return Likeness(directed(unit_rows(residual)), directed(unit_rows(embedding)))


def _merged(ev: Evidence, own_n: Array, known_l: Array) -> Array:
    merged_N = np.empty((len(ev.all), own_n.shape[1]), np.result_type(own_n, known_l))
    merged_N[ev.rows("candidates")], merged_N[ev.rows("labelled")] = own_n, known_l
    return merged_N


@dataclass(frozen=True, kw_only=True)
class SetFunction(Strategy):
    """A set function of candidates alone: what is labelled has no part in it.

    Attributes:
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
    """

    family: ClassVar = "submodular"
    regimes: ClassVar = ("VL", "L")
    space: Literal["auto", "features", "embeddings"] = "auto"
    needs: ClassVar = (Features(),)

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Embeddings(),) if self.space == "embeddings" else self.needs

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return Picks(*self.best(self._likeness(ev), ev.candidates, b, key))

    @abstractmethod
    def best(self, likeness: Likeness, ids: Ids, b: int, key: Key) -> tuple[Rows, Array]:
        """Return `b` of the rows of a likeness with one factor, greedily, and what each added."""

    def _likeness(self, ev: Evidence) -> Likeness:
        return Likeness(directed(unit_rows(ev[Embeddings()]) if self.space == "embeddings" else ev[Features()]))


@dataclass(frozen=True, kw_only=True)
class SubmodularFunction(SetFunction):
    """A submodular function of candidates alone, and how it is maximised.

    Attributes:
        maximiser: ``lazy`` makes the picks of ``naive`` with fewer gains; ``stochastic`` looks at random rows in each
            step, as does ``lazier_than_lazy``.
        epsilon: of the random rows there are ``n / b * log(1 / epsilon)``.
    """

    maximiser: Method = "lazy"
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        require_epsilon(self.epsilon)


@dataclass(frozen=True, kw_only=True)
class SimilarityFunction(SubmodularFunction):
    """A submodular function of similarities, which gradients have too.

    Attributes:
        space: frozen features or the task model's embeddings; ``auto`` takes embeddings where the learner trains them.
            ``gradients`` are those of the last layer for hypothesised labels.
        gradient: of the last layer's weights (``linear``), its bias, or both.
    """

    space: Literal["auto", "features", "embeddings", "gradients"] = "auto"  # pyright: ignore[reportIncompatibleVariableOverride]
    gradient: Layer = "bias_linear"

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Gradients(),) if self.space == "gradients" else super().needs_at(state)

    def _likeness(self, ev: Evidence) -> Likeness:
        if self.space == "gradients":
            return alike_by_gradients(ev, self.gradient, labelled=False)
        return super()._likeness(ev)


def require_epsilon(epsilon: float) -> None:
    """Raise `SpecError` unless it is above 0 and below 1."""
    if not 0.0 < epsilon < 1.0:
        raise SpecError(f"Expected epsilon to be above 0 and below 1, got {epsilon}.")


def refuse_lazy(name: str, maximiser: Method) -> None:
    """Raise `SpecError` if old gains would bound new ones of a function that is not submodular."""
    if maximiser in LAZY:
        raise SpecError(
            f"{name} is not submodular: its gains may rise, so old ones bound nothing and the maximiser {maximiser!r} "
            "would pick wrongly. Use 'naive' or 'stochastic'."
        )
