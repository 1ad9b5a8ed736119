"""Array aliases, the legend of axis letters, and the checks that every door applies.

Axis letters, used as suffixes inside kernels (``x_N_d``, ``p_n_c``):

======  ==========================================================
letter  axis
======  ==========================================================
``N``   items of the pool
``n``   candidates, the unlabelled part of the pool
``l``   labelled items
``c``   declared classes
``k``   draws of a stochastic model, clusters, or neighbours
``d``   dimensions
``b``   picks of one batch
======  ==========================================================
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from querist.errors import DataError, LeakError

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Bools: TypeAlias = npt.NDArray[np.bool_]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Ids: TypeAlias = npt.NDArray[np.int64]
Labels: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = npt.NDArray[np.intp]

SHOWN = 5
"""How many offending ids an error message lists."""


class SealedArray:
    """Labels nobody may read: any use as an array raises `LeakError`.

    The oracle and the evaluator hold the only two calls of `unseal` outside tests.
    """

    def __init__(self, values: npt.ArrayLike) -> None:
        self.__values = readonly(np.array(values, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.__values)

    @property
    def known(self) -> Bools:
        """Which items have a label at all, without saying which."""
        return readonly(self.__values >= 0)

    def unseal(self) -> Labels:
        """Return the values. For the oracle and the evaluator only."""
        return self.__values

    def _refuse(self, *_args: object, **_kwargs: object) -> Any:
        raise LeakError(
            "sealed labels were read. Labels of the pool come from an oracle, one charged answer at a time; "
            "test labels are read by the evaluator alone."
        )

    __array__ = __getitem__ = __iter__ = __eq__ = __reduce_ex__ = _refuse
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"SealedArray({len(self)} labels)"


def readonly(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of `array` that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def as_ids(values: npt.ArrayLike, upper: int | None = None, *, what: str = "ids") -> Ids:
    """Return `values` as distinct int64 ids in the order given.

    Args:
        values: one-dimensional integers.
        upper: exclusive upper bound, usually the size of the pool.
        what: how an error message calls them.

    Raises:
        DataError: not one-dimensional, not integers, repeated, or out of range.
    """
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64).reshape(-1)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"Expected {what} to be a one-dimensional array of integers, got {array.dtype} of shape {array.shape}."
        )
    out_of_range = (array < 0) | (array >= upper) if upper is not None else array < 0
    if out_of_range.any():
        bound = "0 or larger" if upper is None else f"in 0..{upper - 1}"
        raise DataError(f"Expected {what} to be {bound}, got {some(array[out_of_range])}.")
    if not (array[1:] > array[:-1]).all():  # ascending ids, the usual ones, are distinct without sorting
        unique, counts = np.unique(array, return_counts=True)
        if len(unique) != len(array):
            raise DataError(f"Expected {what} to be distinct, but {some(unique[counts > 1])} occur more than once.")
    return array.astype(np.int64)


def require_finite(array: npt.NDArray[Any], what: str, ids: Ids | None = None) -> None:
    """Raise `DataError` naming the rows of `array` (n, ...) that hold a NaN or an infinity."""
    # One pass and no temporary in the ordinary case: a sum is finite only if its terms are; overflow is checked below.
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        rows = np.flatnonzero(bad)
        raise DataError(
            f"{what}: {len(rows)} of {len(array)} rows hold NaN or infinite values, "
            f"ids {some(rows if ids is None else ids[rows])}. Repair or remove these rows."
        )


def require_probabilities(p_n_c: npt.NDArray[Any], what: str = "probs", ids: Ids | None = None) -> None:
    """Raise `DataError` unless the rows of `p_n_c` are non-negative and sum to one (within 1e-3)."""
    if p_n_c.ndim != 2:
        raise DataError(f"Expected {what} of shape (n, c), got shape {p_n_c.shape}.")
    require_finite(p_n_c, what, ids)
    total = p_n_c.sum(axis=1, dtype=np.float64)
    bad = (np.abs(total - 1.0) > 1e-3) | (p_n_c.min(axis=1, initial=0.0) < -1e-6)
    if bad.any():
        rows = np.flatnonzero(bad)
        raise DataError(
            f"{what}: {len(rows)} of {len(p_n_c)} rows are not probabilities "
            f"(row sums {some(total[rows].round(4))}), ids {some(rows if ids is None else ids[rows])}. "
            "Pass class probabilities whose rows sum to one; logits need a softmax first."
        )


def some(values: npt.NDArray[Any]) -> str:
    """Return the first few values for an error message: ``3, 8, 9, 12, 40 and 7 more``."""
    shown = ", ".join(str(v) for v in values[:SHOWN].tolist())
    return shown if len(values) <= SHOWN else f"{shown} and {len(values) - SHOWN} more"
