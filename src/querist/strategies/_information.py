"""What submodular information measures share: the query and the private rows, and how rows are alike."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from querist.arrays import Array, Bools, Rows
from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import Embeddings, Features, Gradients, Labels, Need
from querist.kernels.clipped_cover import clipped_cover, nearest
from querist.kernels.likeness import Likeness
from querist.kernels.maximise import Method, Objective, maximise
from querist.kernels.representatives import complete
from querist.seeds import Key
from querist.strategies._submodular import Layer, alike_by_gradients, directed, refuse_lazy, require_epsilon
from querist.strategies._whole import places
from querist.strategies.base import Picks, State, Strategy, card_of, require_at_least

Query: TypeAlias = tuple[int, ...] | Literal["rare"]
"""Classes whose labelled rows are the query set. ``rare``: of the classes that have labels, those with the fewest."""

Private: TypeAlias = tuple[int, ...] | Literal["labelled", "others"]
"""Classes whose labelled rows are the private set, or all labelled rows, or those that are not in the query set."""


class Sets(NamedTuple):
    """Rows of the frame ``all``."""

    candidates: Rows
    query: Rows
    private: Rows


@dataclass(frozen=True, kw_only=True)
class Information(Strategy):
    """How much candidates tell about the query set, or that the private set does not.

    Attributes:
        space: last-layer gradients (hypothesised labels on candidates, true ones on labelled rows), frozen features or
            the task model's embeddings.
        gradient: of the last layer's weights (``linear``), its bias, or both.
    """

    family: ClassVar = "submodular information"
    regimes: ClassVar = ("L", "M")
    space: Literal["gradients", "features", "embeddings"] = "gradients"
    gradient: Layer = "bias_linear"
    needs: ClassVar = (Gradients(), Gradients(frame="labelled"))

    def __post_init__(self) -> None:
        """Refuse settings that make no sense; every part of a measure adds what it refuses."""

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        labels = (Labels(),) if self._reads_labels else ()
        if self.space == "gradients":
            return (*self.needs, *labels)
        return (self._points, *labels)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return self.pick(ev, self._likeness(ev), self.sets(ev), b, key)

    @abstractmethod
    def sets(self, ev: Evidence) -> Sets:
        """Return the rows that play a part."""

    @abstractmethod
    def pick(self, ev: Evidence, likeness: Likeness, sets: Sets, b: int, key: Key) -> Picks:
        """Return picks among the candidates; `likeness` is that of the frame ``all``."""

    @property
    def _reads_labels(self) -> bool:
        return True

    @property
    def _points(self) -> Need[Array]:
        return Embeddings(frame="all") if self.space == "embeddings" else Features(frame="all")

    def _likeness(self, ev: Evidence) -> Likeness:
        if self.space == "gradients":
            return alike_by_gradients(ev, self.gradient, labelled=True)
        x_N_d = ev[self._points]
        return Likeness(directed(unit_rows(x_N_d) if self.space == "embeddings" else x_N_d))


@dataclass(frozen=True, kw_only=True)
class MutualInformation(Information):
    """How much candidates and the query set tell about one another.

    Attributes:
        query: classes whose labelled rows are wanted more of; ``rare`` takes the class, or classes, with the fewest
            labels among those that have any. An empty query set makes every gain 0.
    """

    query: Query = "rare"

    def __post_init__(self) -> None:
        _require_classes("query", self.query)

    def sets(self, ev: Evidence) -> Sets:
        labelled = ev.rows("labelled")
        return Sets(ev.rows("candidates"), labelled[_asked(ev, self.query)], labelled[:0])


@dataclass(frozen=True, kw_only=True)
class ConditionalGain(Information):
    """What candidates add to the private set.

    Attributes:
        private: classes whose labelled rows are enough; ``labelled`` takes every labelled row. With an empty private
            set it is the plain set function.
    """

    private: tuple[int, ...] | Literal["labelled"] = "labelled"

    def __post_init__(self) -> None:
        _require_classes("private", self.private)

    @property
    def _reads_labels(self) -> bool:
        return self.private != "labelled"

    def sets(self, ev: Evidence) -> Sets:
        labelled = ev.rows("labelled")
        private = labelled if self.private == "labelled" else labelled[_of(ev, self.private)]
        return Sets(ev.rows("candidates"), labelled[:0], private)


@dataclass(frozen=True, kw_only=True)
class ConditionalMutualInformation(Information):
    """How much candidates tell about the query set that the private set does not.

    Attributes:
        query: classes whose labelled rows are wanted more of; ``rare`` takes the class, or classes, with the fewest
            labels among those that have any.
        private: classes whose labelled rows are not; ``others`` takes every labelled row outside the query set.
    """

    query: Query = "rare"
    private: tuple[int, ...] | Literal["others"] = "others"

    def __post_init__(self) -> None:
        _require_classes("query", self.query)
        _require_classes("private", self.private)
        if isinstance(self.query, tuple) and set(self.query) & set(self.private):
            raise SpecError(f"Expected query and private to share no class, got {self.query} and {self.private}.")

    def sets(self, ev: Evidence) -> Sets:
        labelled, query_l = ev.rows("labelled"), _asked(ev, self.query)
        private_l = ~query_l if self.private == "others" else _of(ev, self.private) & ~query_l
        return Sets(ev.rows("candidates"), labelled[query_l], labelled[private_l])


@dataclass(frozen=True, kw_only=True)
class Greedy(Information):
    """An information measure that a maximiser of set functions picks for.

    Attributes:
        maximiser: ``lazy`` makes the picks of ``naive`` with fewer gains; ``stochastic`` looks at random rows in each
            step, as does ``lazier_than_lazy``.
        epsilon: of the random rows there are ``n / b * log(1 / epsilon)``.
    """

    maximiser: Method = "lazy"
    epsilon: float = 0.01
    submodular: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_epsilon(self.epsilon)
        if not self.submodular:
            refuse_lazy(card_of(self).name, self.maximiser)

    @abstractmethod
    def objective(self, likeness: Likeness, sets: Sets, b: int) -> Objective:
        """Return the set function, nothing picked yet."""

    def pick(self, ev: Evidence, likeness: Likeness, sets: Sets, b: int, key: Key) -> Picks:
        objective = self.objective(likeness, sets, b)
        return Picks(*maximise(objective, sets.candidates, ev.candidates, b, key, self.maximiser, self.epsilon))


@dataclass(frozen=True, kw_only=True)
class Facility(Information):
    """Facility location between a floor and a cap per candidate.

    Attributes:
        limit: with more candidates than this, gains are estimated from a random sample of them, ``limit^2 / n`` rows,
            so that the work stays that of `limit` rows. The first reason of a batch then says so, and what it loses.
    """

    limit: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "limit")

    @abstractmethod
    def between(self, likeness: Likeness, sets: Sets, rows: Rows) -> tuple[Array, Array]:
        """Return floors and caps of rows."""

    def pick(self, ev: Evidence, likeness: Likeness, sets: Sets, b: int, key: Key) -> Picks:
        """Return greedy picks; when nothing is left to gain, farthest-first ones in the space of the factors."""
        sample_n = key.child("references").hash(ev.candidates)
        cover = clipped_cover(
            likeness, sets.candidates, lambda rows: self.between(likeness, sets, rows), ev.candidates, b, key,
            limit=self.limit, sample_n=sample_n,
        )  # fmt: skip
        given = int(np.count_nonzero(cover.gain > 0.0))  # gains never rise, so these come first
        if given == b:
            return Picks(cover.rows, cover.gain, certificate=cover.certificate)
        x_N_d = np.column_stack(likeness.factors)
        place_N = places(ev)
        rows = sets.candidates[cover.rows[:given]]
        rows = complete(x_N_d, rows, ev.rows("labelled"), place_N >= 0, key.hash(ev.all), b)
        return Picks(place_N[rows], cover.gain, certificate=cover.certificate)


def scaled(likeness: Likeness, rows: Rows, others: Rows, scale: float) -> Array:
    """Return `scale` times the similarity of rows to the most similar of `others`, at most 1."""
    return np.minimum(scale * nearest(likeness, rows, others), 1.0)


def _asked(ev: Evidence, query: Query) -> Bools:
    """Return which labelled rows are the query set."""
    if query != "rare":
        return _of(ev, query)
    count_c = np.bincount(ev[Labels()], minlength=ev.c)
    rare_c = count_c == count_c[count_c > 0].min(initial=len(ev.labelled))
    return rare_c[ev[Labels()]]


def _of(ev: Evidence, classes: tuple[int, ...]) -> Bools:
    """Return which labelled rows are of some classes."""
    if max(classes, default=0) >= ev.c:
        raise UsageError(f"Expected classes in 0..{ev.c - 1}, got {max(classes)}. Name declared classes only.")
    return np.isin(ev[Labels()], classes)


def _require_classes(name: str, classes: tuple[int, ...] | str) -> None:
    if isinstance(classes, tuple) and (not classes or min(classes) < 0 or len(set(classes)) < len(classes)):
        raise SpecError(f"Expected {name} to be distinct class numbers, 0 or larger, at least one; got {classes}.")
