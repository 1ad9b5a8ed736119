"""Columns of a source as a manifest wants them: class numbers, splits, keys, and a drawn test share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Labels, some
from querist.data.manifest import POOL, SPLITS, TEST, VALIDATION, NumberedKeys
from querist.errors import DataError, UndeclaredClassesError, suggest
from querist.seeds import Seed

UNLABELLED = -1
SPLIT_NAMES = {**{name: name for name in SPLITS}, "train": POOL, "val": VALIDATION}
"""What a split column may say; ``train`` is the pool and ``val`` the validation set."""


def class_numbers(
    labels: npt.ArrayLike | Sequence[Any] | None, n: int, classes: Sequence[str] | None, where: str
) -> tuple[Labels, tuple[str, ...]]:
    """Return one class number per item, -1 where no label is known, and the declared classes.

    Integers are class numbers and strings are class names; ``None``, ``-1``, ``""`` and a missing value of pandas mean
    "not labelled". Without `classes` the whole column is the declaration: the distinct names in sorted order, or
    ``"0" .. "max"`` if every one of these numbers occurs.

    Args:
        labels: ``(n,)`` or ``(n, 1)``; None if nothing is known.
        n: number of items.
        classes: class names in order.
        where: what an error message calls the source.

    Raises:
        DataError: wrong length or type, a label that is no declared class, or no way to tell the classes.
    """
    declared = None if classes is None else tuple(classes)
    if labels is None:
        if declared is None:
            raise UndeclaredClassesError(
                f"{where}: without labels the classes must be declared, e.g. classes=('cat', 'dog')."
            )
        return np.full(n, UNLABELLED, dtype=np.int64), declared
    # As objects, for numpy would turn the mixed list [0, "a"] into strings without a word.
    column = np.asarray(labels) if hasattr(labels, "__array__") else np.array(labels, dtype=object)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise DataError(
            f"{where}: expected one label per item, got labels of shape {column.shape}. "
            "Turn one-hot or multi-label rows into one class number each."
        )
    if len(column) != n:
        raise DataError(f"{where}: expected one label per item, got {len(column)} labels for {n} items.")
    if np.issubdtype(column.dtype, np.integer):
        return _from_numbers(column.astype(np.int64), declared, where)
    values = [None if _is_missing(value) else value for value in column.tolist()]
    if all(value is None or isinstance(value, str) for value in values):
        return _from_names(values, declared, where)
    for row, value in enumerate(values):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer)):
            raise DataError(
                f"{where}: expected labels to be all integers (class numbers) or all strings (class names), got "
                f"{value!r} in row {row}. Mark unlabelled items by -1, '' or None."
            )
    numbers = np.array([UNLABELLED if value is None else value for value in values], dtype=np.int64)
    return _from_numbers(numbers, declared, where)


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _from_numbers(numbers: Labels, declared: tuple[str, ...] | None, where: str) -> tuple[Labels, tuple[str, ...]]:
    if declared is None:
        present = np.unique(numbers[numbers >= 0])
        if not len(present):
            raise UndeclaredClassesError(
                f"{where}: no item is labelled, so the classes must be declared, e.g. classes=('a', 'b')."
            )
        gaps = np.flatnonzero(present != np.arange(len(present)))
        if len(gaps):
            raise DataError(
                f"{where}: class numbers reach {present[-1]} but no item has class {gaps[0]}. Declare `classes`, "
                "one name per number from 0 on, or number the classes without gaps."
            )
        declared = tuple(map(str, present.tolist()))
    bad = np.flatnonzero((numbers < UNLABELLED) | (numbers >= len(declared)))
    if len(bad):
        raise DataError(
            f"{where}: expected class numbers in 0..{len(declared) - 1} (or -1 for unlabelled), got "
            f"{some(numbers[bad])} in rows {some(bad)}."
        )
    return numbers, declared


def _from_names(
    names: Sequence[str | None], declared: tuple[str, ...] | None, where: str
) -> tuple[Labels, tuple[str, ...]]:
    if declared is None:
        declared = tuple(sorted({name for name in names if name is not None}))
        if not declared:
            raise UndeclaredClassesError(
                f"{where}: no item is labelled, so the classes must be declared, e.g. classes=('a', 'b')."
            )
    number = {name: i for i, name in enumerate(declared)}
    for row, name in enumerate(names):
        if name is not None and name not in number:
            raise DataError(f"{where}: row {row} has the label {name!r}. {suggest(name, declared)}")
    return np.array([UNLABELLED if name is None else number[name] for name in names], dtype=np.int64), declared


def split_codes(split: npt.ArrayLike | Sequence[str] | None, n: int, where: str) -> npt.NDArray[np.int8]:
    """Return the position in `SPLITS` of every item; everything is pool if `split` is None.

    Args:
        split: ``(n,)`` names (see `SPLIT_NAMES`) or positions in `SPLITS`.
        n: number of items.
        where: what an error message calls the source.

    Raises:
        DataError: wrong length, or an unknown split.
    """
    if split is None:
        return np.full(n, SPLITS.index(POOL), dtype=np.int8)
    column = np.asarray(split)
    if column.shape != (n,):
        raise DataError(f"{where}: expected one split per item, got shape {column.shape} for {n} items.")
    if np.issubdtype(column.dtype, np.integer):
        bad = np.flatnonzero((column < 0) | (column >= len(SPLITS)))
        if len(bad):
            numbering = ", ".join(f"{i} {name}" for i, name in enumerate(SPLITS))
            raise DataError(f"{where}: unknown splits {some(column[bad])} in rows {some(bad)}. Known: {numbering}.")
        return column.astype(np.int8)
    code = {name: SPLITS.index(target) for name, target in SPLIT_NAMES.items()}
    values = column.tolist()
    for row, name in enumerate(values):
        if name not in code:
            raise DataError(f"{where}: row {row} has the unknown split {name!r}. Known: {', '.join(SPLIT_NAMES)}.")
    return np.array([code[name] for name in values], dtype=np.int8)


def item_keys(keys: npt.ArrayLike | Sequence[Any] | None, n: int, prefix: str, where: str) -> Sequence[str]:
    """Return one string per item: `keys` as text, or ``prefix/position`` if there are none.

    Raises:
        DataError: wrong length or an empty key. (`Manifest` refuses repeated ones.)
    """
    if keys is None:
        return NumberedKeys(prefix, n)
    if isinstance(keys, NumberedKeys) and len(keys) == n:
        return keys
    values = np.asarray(keys)
    if values.shape != (n,):
        raise DataError(f"{where}: expected one id per item, got ids of shape {values.shape} for {n} items.")
    text = tuple(map(str, values.tolist()))
    if "" in text:
        raise DataError(f"{where}: row {text.index('')} has an empty id. Give every item an id or leave the ids out.")
    return text


def draw_test(
    split: npt.NDArray[np.int8], labels: Labels, share: float, split_seed: int, where: str
) -> npt.NDArray[np.int8]:
    """Return `split` with a random `share` of the labelled pool moved to the test split.

    The draw takes the items with the smallest hashes of their positions under ``Seed(split_seed)``, so it depends on
    nothing but the seed, the share and which rows are labelled.

    Raises:
        DataError: the share is not between 0 and 1, or leaves nothing on one side.
    """
    if not 0 < share < 1:
        raise DataError(f"{where}: expected test_share between 0 and 1, got {share}.")
    rows = np.flatnonzero((split == SPLITS.index(POOL)) & (labels != UNLABELLED))
    count = round(share * len(rows))
    if not 0 < count < len(rows):
        raise DataError(f"{where}: test_share={share} of {len(rows)} labelled items leaves test or pool empty.")
    order = np.argsort(Seed(split_seed).child("test_share").key().hash(rows))
    drawn = split.copy()
    drawn[rows[order[:count]]] = SPLITS.index(TEST)
    return drawn
