"""Arrays in, ids out: one query from arrays you already have, without a dataset, a learner or a loop."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import (
    Array,
    Ids,
    Labels as LabelArray,
    as_ids,
    readonly,
    require_finite,
    require_probabilities,
    some,
)
from querist.errors import DataError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.features import unit_rows
from querist.evidence.needs import (
    Draws,
    Embeddings,
    Factors,
    Features,
    Gradients,
    Labels,
    Need,
    Neighbours,
    Previous,
    Probs,
)
from querist.evidence.plan import plan
from querist.evidence.provider import Offer
from querist.kernels.centring import principal_rows
from querist.kernels.checks import all_finite, all_probabilities
from querist.kernels.threads import single_threaded_blas
from querist.kernels.workers import workers
from querist.seeds import Seed
from querist.session.neighbours import neighbourhood
from querist.strategies.base import Selection, State, Strategy, card_of, choose, strategies
from querist.strategies.composition import require_unlabelled, resolved


def select(
    strategy: str | Mapping[str, Any] | Strategy,
    budget: int,
    *,
    probs: npt.ArrayLike | None = None,
    embeddings: npt.ArrayLike | None = None,
    features: npt.ArrayLike | None = None,
    draws: npt.ArrayLike | None = None,
    labelled: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    size: int | None = None,
    classes: int | None = None,
    seed: int = 0,
) -> Selection:
    """Return which items to label next.

    >>> import numpy as np
    >>> p = np.array([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8]])
    >>> select("margin", 1, probs=p).ids
    array([1])

    All arrays cover all N items, labelled ones included; ids are positions in them. A strategy flagged ``sequential``
    learns no answer between its picks here; a `Session` asks it one by one.

    Args:
        strategy: name, composition such as ``"stochastic(margin, beta=1)"``, mapping, or object.
        budget: number of picks.
        probs: ``(N, c)`` probabilities of your model.
        embeddings: ``(N, d)`` penultimate activations of your model.
        features: ``(N, d)`` of a frozen encoder; rows are scaled to unit length where a strategy wants that. Where
            it takes rows as they are, as k_center_greedy does, float16 and memory-mapped arrays are read in place.
        draws: ``(k, N, c)`` probabilities of a stochastic model or a committee, draw j the same function for all items.
        labelled: ids whose labels are known; they are never picked.
        labels: class numbers aligned with `labelled`.
        size: N, needed only when no array is given.
        classes: number of classes, needed only when neither `probs` nor `draws` says it.
        seed: randomness of draws and ties.

    Returns:
        Ids in pick order, the utility of each when it was picked, and a reason for people.

    Raises:
        UnmetNeedError: the strategy needs an array that was not given.
        BudgetError: more picks than unlabelled items.
        UsageError: `labelled` was given to a rule that starts from an unlabelled pool, or `classes` is needed.
        DataError: lengths that differ, NaN or infinite values, rows that are no probabilities, labels out of range.
    """
    given = {"probs": probs, "embeddings": embeddings, "features": features}
    arrays = {name: _numbers(name, value, SHAPES[name]) for name, value in given.items() if value is not None}
    stack = None if draws is None else _numbers("draws", draws, SHAPES["draws"])
    n_all = _common_length(arrays, stack, size)
    taken = np.empty(0, dtype=np.int64) if labelled is None else as_ids(labelled, n_all, what="labelled")
    c = _common_classes(arrays, stack, classes)
    order = np.argsort(taken)
    known = None if labels is None else _labels(labels, taken, c)[order]
    taken = taken[order]
    source = ArraySource(arrays, stack, taken, known)
    built = resolved(strategies.build(strategy), trains_backbone="embeddings" in arrays and "features" not in arrays)
    require_unlabelled(built, len(taken))
    has_model = bool({"probs", "embeddings"} & arrays.keys()) or stack is not None
    state = State(round=0, n_labelled=len(taken), has_model=has_model, c=c)
    name = card_of(built).name
    # Arrays are of one round: a rule that looks back later on would have to draw at random here, and not say so.
    back = (need for need in built.needs_at(replace(state, round=1)) if isinstance(need, Previous))
    chosen = plan(f"strategy {name!r}", (*built.needs_at(state), *back), [source], built.wants_at(state))
    if c is None and any(isinstance(need, Labels) for need in chosen.sources):
        raise UsageError(f"strategy {name!r} needs labels, and the labels seen may lack a class: pass classes=C.")
    unlabelled = np.ones(n_all, np.bool_)
    unlabelled[taken] = False
    candidates = np.flatnonzero(unlabelled).astype(np.int64, copy=False)
    with single_threaded_blas(), workers(os.cpu_count() or 1):
        values = {need: source.provide(need, candidates) for need in chosen.sources}
        evidence = Evidence(candidates, values, labelled=taken, c=c or 1)
        return choose(built, evidence, budget, Seed(seed).child("select", name).key())


class ArraySource:
    """Arrays of a caller as a source of evidence."""

    name = "select"

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        draws: npt.NDArray[Any] | None,
        labelled: Ids,
        labels: LabelArray | None,
    ) -> None:
        self._arrays, self._draws, self._labelled, self._labels = arrays, draws, labelled, labels

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer what the given arrays hold."""
        if need.frame == "targets" or (isinstance(need, Labels) and need.frame != "labelled"):
            return f"plain arrays say nothing about {type(need).__name__} on the frame {need.frame!r}."
        have = {
            *self._arrays,
            *(["draws"] if self._draws is not None else []),
            *(["labels"] if self._labels is not None else []),
        }
        match need:
            case Probs() | Embeddings() | Features() | Draws():
                wanted = [type(need).__name__.lower()]
            case Neighbours():
                wanted = ["features"]
            case Labels():
                wanted = ["labels"]
            case Gradients():
                wanted = ["probs", "features" if "features" in have and "embeddings" not in have else "embeddings"]
                wanted += ["labels"] if need.frame != "candidates" and len(self._labelled) else []
            case _:
                return "plain arrays cannot carry this; use it in a Session or a study."
        missing = [f"{name}={SHAPES[name]}" for name in wanted if name not in have]
        return f"pass {' and '.join(missing)}." if missing else Offer()

    def provide(self, need: Need[Any], candidates: Ids) -> Any:
        """Return the rows of a need's frame."""
        everything = np.arange(len(candidates) + len(self._labelled))
        ids = {"candidates": candidates, "labelled": self._labelled}.get(need.frame, everything)
        rows = slice(None) if len(ids) == len(everything) else ids
        match need:
            case Labels():
                return self._labels
            case Draws() if self._draws is not None:
                return [draw[rows] for draw in self._draws]
            case Features():
                return self._features(need, ids, rows)
            case Neighbours():
                return neighbourhood(self._features(need.features, ids, rows), need.k)
            case Gradients():
                return self._gradients(ids, rows)
            case _:
                return self._arrays["probs" if isinstance(need, Probs) else "embeddings"][rows]

    def _features(self, need: Features, ids: Ids, rows: Any) -> Array:
        if need.components is not None:
            every = self._features(
                replace(need, components=None), np.arange(len(self._arrays["features"])), slice(None)
            )
            return principal_rows(every, np.arange(len(every)), need.components)[rows]
        given = self._arrays["features"][rows]
        whole = given.dtype in (np.float16, np.float32)
        with np.errstate(over="ignore"):
            narrow = given if whole else given.astype(np.float32)
        if (need.normalise or not whole) and not all_finite(narrow):
            require_finite(narrow, "features as float32", ids)
        return unit_rows(narrow) if need.normalise else narrow

    def _gradients(self, ids: Ids, rows: Any) -> Factors:
        given = self._arrays["probs"][rows]
        if not all_probabilities(given):
            require_probabilities(given, ids=ids)
        # Half precision would round what is left of a probability near 1.
        p_n_c: Array = np.array(given, dtype=np.result_type(given, np.float32))
        label = p_n_c.argmax(axis=1)  # hypothesised, except where it is known
        if self._labels is not None:
            bought = np.isin(ids, self._labelled)
            label[bought] = self._labels[np.searchsorted(self._labelled, ids[bought])]
        p_n_c[np.arange(len(p_n_c)), label] -= 1.0
        return Factors(p_n_c, self._arrays["embeddings" if "embeddings" in self._arrays else "features"][rows])


def _numbers(name: str, value: npt.ArrayLike, shape: str) -> npt.NDArray[Any]:
    """Return `value` as an array of floating-point numbers with the axes that `shape` shows."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"Expected {name} of shape {shape}, got {error}.") from None
    if array.ndim != shape.count(",") + 1 or array.dtype.kind not in "fiub":
        raise DataError(f"Expected {name} to be numbers of shape {shape}, got {array.dtype} of shape {array.shape}.")
    return array if array.dtype.kind == "f" else array.astype(np.float64)  # small integers would wrap around


def _common_length(arrays: Mapping[str, npt.NDArray[Any]], draws: npt.NDArray[Any] | None, size: int | None) -> int:
    lengths = {name: len(array) for name, array in arrays.items()}
    lengths |= {} if draws is None else {"draws": draws.shape[1]}
    lengths |= {} if size is None else {"size": size}
    if not lengths:
        raise UsageError(
            "nothing to select from: pass probs, embeddings, features or draws, or size=N for plain draws."
        )
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"Expected arrays over the same N items, got {', '.join(f'{k}: {v}' for k, v in lengths.items())}."
        )
    return next(iter(lengths.values()))


def _common_classes(
    arrays: Mapping[str, npt.NDArray[Any]], draws: npt.NDArray[Any] | None, classes: int | None
) -> int | None:
    counts = {"probs": arrays["probs"].shape[1]} if "probs" in arrays else {}
    counts |= {} if draws is None else {"draws": draws.shape[2]}
    counts |= {} if classes is None else {"classes": classes}
    if len(set(counts.values())) > 1 or min(counts.values(), default=1) < 1:
        raise DataError(f"Expected one number of classes, got {', '.join(f'{k}: {v}' for k, v in counts.items())}.")
    return next(iter(counts.values()), None)


def _labels(labels: npt.ArrayLike, labelled: Ids, c: int | None) -> LabelArray:
    array = np.asarray(labels)
    if array.shape != labelled.shape or (array.size and not np.issubdtype(array.dtype, np.integer)):
        got = f"{array.dtype} labels of shape {array.shape}"
        raise DataError(f"Expected one integer label per labelled id, got {got} for {len(labelled)} ids.")
    bad = (array < 0) if c is None else (array < 0) | (array >= c)
    if array.size and bad.any():
        bound = "0 or larger" if c is None else f"in 0..{c - 1}"
        raise DataError(f"Expected labels to be {bound}, got {some(array[bad])} for ids {some(labelled[bad])}.")
    return readonly(array.astype(np.int64))


SHAPES = {
    "probs": "(N, c)", "embeddings": "(N, d)", "features": "(N, d)", "draws": "(k, N, c)", "labels": "(l,)",
}  # fmt: skip
