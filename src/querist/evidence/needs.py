"""The vocabulary of evidence: what a strategy may ask to know about rows, as hashable values.

Each need carries the *frame* its rows belong to: ``candidates`` (unlabelled, ascending by id), ``labelled``, ``all``
(both, ascending by id) or ``targets``. It also knows how its value is checked when it is provided and how it is cut to
fewer rows, so providers and strategies never repeat either.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from querist.arrays import (
    Array,
    Ids,
    Labels as LabelArray,
    Rows,
    readonly,
    require_finite,
    require_probabilities,
    some,
)
from querist.errors import DataError
from querist.kernels.checks import all_finite, all_probabilities

T = TypeVar("T")
Frame: TypeAlias = Literal["candidates", "labelled", "all", "targets"]


class Factors(NamedTuple):
    """A last-layer gradient in factored form: row i is the outer product of its residual and its embedding."""

    residual: Array
    """``(n, c)``: predicted probabilities minus the one-hot (hypothesised or true) label."""
    embedding: Array
    """``(n, d)``: input of the last layer."""


class Neighbourhood(NamedTuple):
    """Nearest neighbours in CSR form, nearest first, without the point itself."""

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    distances: Array


class Past(NamedTuple):
    """Earlier queries of the same session."""

    ids: tuple[Ids, ...]
    utilities: tuple[Array | None, ...]


@dataclass(frozen=True, kw_only=True)
class Need(Generic[T]):
    """One thing a strategy declares it wants to know."""

    frame: Frame = "candidates"

    def check(self, value: T, ids: Ids, c: int) -> T:
        """Return `value`, read-only, after verifying that it has a row per id and `c` classes where it has classes.

        Raises:
            DataError: wrong shape, not finite, not probabilities.
        """
        return _rows_by(value, ids, str(self), None)

    def cut(self, value: T, rows: Rows) -> T:
        """Return the part of `value` that belongs to `rows` of its frame."""
        return value[rows]  # pyright: ignore[reportIndexIssue]

    def on(self, frame: Frame) -> "Need[T]":
        """Return the same need on another frame."""
        return replace(self, frame=frame)

    def __str__(self) -> str:
        settings = {k: v for k, v in vars(self).items() if v not in (None, "candidates")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


@dataclass(frozen=True, kw_only=True)
class Probs(Need[Array]):
    """Class probabilities of the current model, ``(n, c)``, rows sum to one; evaluation mode, no augmentation."""

    __str__ = Need.__str__

    def check(self, value: Array, ids: Ids, c: int) -> Array:
        return _probable_rows(value, ids, "probs", c)


@dataclass(frozen=True, kw_only=True)
class Logits(Need[Array]):
    """Outputs before the softmax, ``(n, c)``, from the same pass as the probabilities."""

    __str__ = Need.__str__

    def check(self, value: Array, ids: Ids, c: int) -> Array:
        return _finite_rows(value, ids, "logits", c)


@dataclass(frozen=True, kw_only=True)
class Draws(Need[Sequence[Array]]):
    """`k` arrays ``(n, c)`` of probabilities from a stochastic model or a committee.

    ``coherent=True`` asks that draw j is one function of all rows (one mask, one member), so that joint quantities over
    rows mean something.
    """

    k: int = 20
    coherent: bool = False
    __str__ = Need.__str__

    def check(self, value: Sequence[Array], ids: Ids, c: int) -> Sequence[Array]:
        if len(value) < 2:
            raise DataError(f"Expected draws of at least 2 members, shape (k, n, c), got {len(value)}.")
        return [_probable_rows(draw, ids, f"draws[{j}]", c) for j, draw in enumerate(value)]

    def cut(self, value: Sequence[Array], rows: Rows) -> Sequence[Array]:
        return [draw[rows] for draw in value]


@dataclass(frozen=True, kw_only=True)
class Embeddings(Need[Array]):
    """Penultimate activations of the task model, ``(n, d)``, not normalised, same pass as the probabilities."""

    __str__ = Need.__str__

    def check(self, value: Array, ids: Ids, c: int) -> Array:
        return _finite_rows(value, ids, "embeddings", None)


@dataclass(frozen=True, kw_only=True)
class Features(Need[Array]):
    """Outputs of a frozen encoder, ``(n, d)`` float32; unit rows unless ``normalise=False`` (zero rows stay zero).

    Rows that are not normalised may be float16, if that is what a caller has: they are not copied.

    With ``components=k`` the rows are then seen from the mean of the pool, along its k leading principal axes at most,
    all divided by the root of their mean squared length: no component that all rows share is left.
    """

    encoder: str | None = None
    normalise: bool = True
    components: int | None = None
    __str__ = Need.__str__

    def check(self, value: Array, ids: Ids, c: int) -> Array:
        return _finite_rows(value, ids, "features", None)


@dataclass(frozen=True, kw_only=True)
class Neighbours(Need[Neighbourhood]):
    """The `k` nearest neighbours of every row among the rows of the frame, in feature space; exact.

    Euclidean distances between the rows of `features`: on unit rows their order is that of falling cosine similarity.
    """

    k: int = 20
    encoder: str | None = None
    normalise: bool = True
    __str__ = Need.__str__

    @property
    def features(self) -> Features:
        """The features in whose space neighbours are near."""
        return Features(frame=self.frame, encoder=self.encoder, normalise=self.normalise)

    def check(self, value: Neighbourhood, ids: Ids, c: int) -> Neighbourhood:
        if len(value.indptr) != len(ids) + 1:
            raise DataError(f"Expected neighbours of {len(ids)} rows, got {len(value.indptr) - 1}.")
        if not value.indptr[-1] == len(value.indices) == len(value.distances) or (np.diff(value.indptr) < 0).any():
            raise DataError(
                f"Expected an index and a distance per neighbour, got {len(value.indices)} indices and "
                f"{len(value.distances)} distances for {value.indptr[-1]} neighbours."
            )
        foreign = value.indices[(value.indices < 0) | (value.indices >= len(ids))]
        if len(foreign):
            raise DataError(f"Expected neighbours to be rows in 0..{len(ids) - 1}, got {some(foreign)}.")
        require_finite(value.distances, "distances of neighbours")
        return Neighbourhood(*map(readonly, value))

    def cut(self, value: Neighbourhood, rows: Rows) -> Neighbourhood:
        raise DataError(
            "a neighbourhood refers to all rows of its frame and cannot be cut; declare it on the frame 'all'."
        )


@dataclass(frozen=True, kw_only=True)
class Gradients(Need[Factors]):
    """Last-layer gradients in factored form: hypothesised labels on candidates, true labels on labelled rows."""

    __str__ = Need.__str__

    def check(self, value: Factors, ids: Ids, c: int) -> Factors:
        return Factors(
            _finite_rows(value.residual, ids, "gradient residuals", c),
            _finite_rows(value.embedding, ids, "gradient embeddings", None),
        )

    def cut(self, value: Factors, rows: Rows) -> Factors:
        return Factors(value.residual[rows], value.embedding[rows])


@dataclass(frozen=True, kw_only=True)
class Labels(Need[LabelArray]):
    """Labels that were bought, ``(l,)`` class numbers."""

    frame: Frame = "labelled"
    __str__ = Need.__str__

    def check(self, value: LabelArray, ids: Ids, c: int) -> LabelArray:
        value = _rows_by(value, ids, "labels", None)
        if value.ndim != 1 or not np.issubdtype(value.dtype, np.integer):
            raise DataError(f"Expected labels of shape (n,) and class numbers, got {value.dtype} {value.shape}.")
        if len(value) and (value.min() < 0 or value.max() >= c):
            bad = np.flatnonzero((value < 0) | (value >= c))
            raise DataError(f"Expected labels in 0..{c - 1}, got {value[bad[0]]} for id {ids[bad[0]]}.")
        return value


@dataclass(frozen=True, kw_only=True)
class Head(Need[Callable[[Array], Array]]):
    """The last layer as a function: rows of its input ``(m, d)`` to logits ``(m, c)``.

    ``space`` says what the rows are: the task model's embeddings, or unit rows of the session's frozen features, which
    a learner that trains a backbone cannot judge.
    """

    space: Literal["embeddings", "features"] = "embeddings"
    __str__ = Need.__str__

    def check(self, value: Callable[[Array], Array], ids: Ids, c: int) -> Callable[[Array], Array]:
        return value

    def cut(self, value: Callable[[Array], Array], rows: Rows) -> Callable[[Array], Array]:
        return value


@dataclass(frozen=True, kw_only=True)
class InputGradients(Need[Iterable[Array]]):
    """Gradients of the loss with respect to the input, in chunks, leaving no parameter gradient behind."""

    __str__ = Need.__str__


@dataclass(frozen=True, kw_only=True)
class PretrainTrace(Need[Array]):
    """A statistic logged for every item in a pre-training, ``(n, t)`` float32: a column per epoch, or one in all.

    ``name`` says which: the encoder that was pre-trained lists what it kept.
    """

    name: str
    __str__ = Need.__str__

    def check(self, value: Array, ids: Ids, c: int) -> Array:
        return _finite_rows(value, ids, "statistics of a pre-training", None)


@dataclass(frozen=True, kw_only=True)
class Previous(Need[Any]):
    """The value another need had in the previous round, on today's rows."""

    need: Need[Any]
    __str__ = Need.__str__

    def check(self, value: Any, ids: Ids, c: int) -> Any:
        return self.need.check(value, ids, c)

    def cut(self, value: Any, rows: Rows) -> Any:
        return self.need.cut(value, rows)


@dataclass(frozen=True, kw_only=True)
class History(Need[Past]):
    """Past picks of this session with their utilities, query by query.

    While a query is asked one by one, what was asked of it so far is the last entry.
    """

    frame: Frame = "labelled"
    __str__ = Need.__str__

    def check(self, value: Past, ids: Ids, c: int) -> Past:
        return Past(tuple(map(readonly, value.ids)), value.utilities)

    def cut(self, value: Past, rows: Rows) -> Past:
        return value


@dataclass(frozen=True, kw_only=True)
class Refit(Need[Callable[[Rows], Array]]):
    """The learner fitted again on a part of the labelled rows, as a function.

    It takes rows of the frame ``labelled``, ``(m,)`` with ``m >= 1``, and returns the class probabilities ``(n, c)`` of
    all rows of the need's frame under the learner fitted on those alone. Every call is a fit, so this is for learners
    that take milliseconds. What is held out of a fit, and what a fit on fewer labels would have said, both come of it.
    """

    __str__ = Need.__str__

    def check(self, value: Callable[[Rows], Array], ids: Ids, c: int) -> Callable[[Rows], Array]:
        return lambda rows: _probable_rows(value(rows), ids, "probabilities of a head fitted again", c)

    def cut(self, value: Callable[[Rows], Array], rows: Rows) -> Callable[[Rows], Array]:
        return lambda fitted: value(fitted)[rows]


@dataclass(frozen=True, kw_only=True)
class Aux(Need[Any]):
    """The output of a helper that was trained for selection, by the helper's name."""

    helper: str
    __str__ = Need.__str__


@dataclass(frozen=True, kw_only=True)
class Sealed(Need[LabelArray]):
    """True labels of rows that were *not* bought: only for strategies flagged ``oracle``."""

    __str__ = Need.__str__
    check = Labels.check  # pyright: ignore[reportAssignmentType]


def _rows_by(value: Any, ids: Ids, what: str, columns: int | None) -> Any:
    array = np.asarray(value)
    expected = f"({len(ids)}, {columns})" if columns is not None else f"{len(ids)} rows"
    if array.ndim == 0 or len(array) != len(ids) or (columns is not None and array.shape[1:] != (columns,)):
        raise DataError(f"Expected {what} of {expected}, got shape {array.shape}.")
    return readonly(array)


def _finite_rows(value: Array, ids: Ids, what: str, columns: int | None) -> Array:
    value = _rows_by(value, ids, what, columns)
    if value.ndim != 2:
        raise DataError(f"Expected {what} of shape (n, d), got shape {value.shape}.")
    if not all_finite(value):
        require_finite(value, what, ids)
    return value


def _probable_rows(value: Any, ids: Ids, what: str, c: int) -> Any:
    value = _rows_by(value, ids, what, c)
    if not all_probabilities(value):
        require_probabilities(value, what, ids)
    return value
