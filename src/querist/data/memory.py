"""Datasets from arrays: items of any modality with labels, a split and keys."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Ids, SealedArray, readonly, require_finite, some
from querist.data.columns import UNLABELLED, class_numbers, draw_test, item_keys, split_codes
from querist.data.dataset import Dataset
from querist.data.manifest import SPLITS, TEST, Manifest
from querist.errors import DataError

BLOCK_BYTES = 1 << 24
"""How much of a memory-mapped array is read at a time."""


class ArrayItems:
    """Items ``(n, ...)`` that are rows of one array, in memory or memory-mapped. The array is not copied."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = readonly(array)
        self._digest = ""

    @property
    def fingerprint(self) -> str:
        """Digest of dtype, shape and values, computed when it is first asked for."""
        self._digest = self._digest or content_digest(self._array)
        return self._digest

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, ids: Ids) -> npt.NDArray[Any]:
        return self._array[ids]

    @property
    def all(self) -> npt.NDArray[Any]:
        """All items, read-only, where they lie: nothing is copied."""
        return self._array


def content_digest(array: npt.NDArray[Any]) -> str:
    """Return 32 hex characters that change with dtype, shape or any value, read block by block.

    Byte order and memory layout do not enter: equal arrays of equal kind have equal digests on every machine.
    """
    dtype = array.dtype.newbyteorder("<")
    state = sha256(f"{dtype.str} {array.shape}".encode())
    rows = max(1, BLOCK_BYTES // max(1, array.nbytes // max(1, len(array))))
    for start in range(0, len(array), rows):
        state.update(np.ascontiguousarray(array[start : start + rows], dtype=dtype).data)
    return state.hexdigest()[:32]


def from_arrays(
    name: str,
    x: npt.ArrayLike,
    labels: npt.ArrayLike | Sequence[Any] | None = None,
    *,
    split: npt.ArrayLike | Sequence[str] | None = None,
    keys: npt.ArrayLike | Sequence[Any] | None = None,
    classes: Sequence[str] | None = None,
    test_share: float | None = None,
    split_seed: int = 0,
    picture: Callable[[int], npt.NDArray[np.uint8]] | None = None,
    where: str | None = None,
) -> Dataset:
    """Return a dataset of items that are rows of one array.

    Args:
        name: what the set is called in specs and reports.
        x: ``(n, ...)`` items: feature vectors, images, series. Not copied: do not change it afterwards.
        labels: ``(n,)`` class numbers or class names; None, -1 or "" where an item is not labelled.
        split: ``(n,)`` of ``pool`` (or ``train``), ``test``, ``validation`` (or ``val``), ``left_out``, or positions in
            that list; None puts everything into the pool.
        keys: ``(n,)`` distinct names of the items that never change; default ``{name}/{position}``.
        classes: class names in order; needed if labels are absent or do not show every class.
        test_share: share of the labelled pool to draw at random as test split, if `split` has none.
        split_seed: seed of that draw.
        picture: returns an item as an image for people; uint8 images ``(n, h, w[, 1 or 3])`` need none.
        where: what an error message calls the source; default the name.

    Raises:
        DataError: lengths that differ, values that are not finite (names the rows), labels outside the classes, test
            items without a label, repeated keys, or fewer than two classes.

    >>> data = from_arrays("toy", [[0.0], [1.0], [2.0]], ["a", "b", ""])
    >>> data.classes, data.pool.tolist(), data.manifest.keys[2]
    (('a', 'b'), [0, 1, 2], 'toy/2')
    """
    where = where or name
    array = x if isinstance(x, np.ndarray) else np.asarray(x)
    check_items(array, where)
    n = len(array)
    numbers, declared = class_numbers(labels, n, classes, where)
    codes = split_codes(split, n, where)
    test = SPLITS.index(TEST)
    if test_share is not None:
        if (codes == test).any():
            raise DataError(f"{where}: there is a test split already; leave out test_share, or the split.")
        codes = draw_test(codes, numbers, test_share, split_seed, where)
    unknown = np.flatnonzero((codes == test) & (numbers == UNLABELLED))
    if len(unknown):
        raise DataError(f"{where}: test items need labels, rows {some(unknown)} have none. Move them to 'left_out'.")
    return Dataset(
        manifest=Manifest(name, item_keys(keys, n, name, where), codes, declared),
        items=ArrayItems(array),
        labels=SealedArray(numbers),
        label_fingerprint=content_digest(numbers),
        picture=picture or _pictures(array),
    )


def check_items(array: npt.NDArray[Any], where: str) -> None:
    """Raise `DataError` unless `array` holds at least one item and every value is a finite number."""
    if array.dtype == object or not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise DataError(
            f"{where}: expected items to be an array of numbers (n, ...), got dtype {array.dtype}. Arrays of Python "
            "objects are refused: they need pickle, and items of different shapes cannot be stacked."
        )
    if array.ndim < 2 or not array.size:
        raise DataError(
            f"{where}: expected items of shape (n, ...) with n of at least 1, got shape {array.shape}. "
            "Reshape single numbers to (n, 1)."
        )
    if np.issubdtype(array.dtype, np.inexact):
        require_finite(array, where)


def _pictures(array: npt.NDArray[Any]) -> Callable[[int], npt.NDArray[np.uint8]] | None:
    """Return how to show rows that are uint8 images, otherwise None."""
    if array.dtype != np.uint8 or not (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3))):
        return None

    def picture(item: int) -> npt.NDArray[np.uint8]:
        image = np.asarray(array[item])
        return image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image

    return picture
