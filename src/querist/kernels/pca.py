"""Principal axes of rows that are read block by block, exactly and with signs that do not depend on the machine."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

Float64s = npt.NDArray[np.float64]
COLUMNS = 1024


def principal_axes(
    blocks: Callable[[], Iterable[npt.NDArray[Any]]], n: int, d: int, k: int
) -> tuple[Float64s, Float64s]:
    """Return the mean ``(d,)`` and the `k` leading principal axes ``(d, k)`` of `n` rows, by falling variance.

    Identity: the axes are the leading eigenvectors of ``X^T X`` for the centred rows ``X``; for ``n < d`` they are
    ``X^T v / |X^T v|`` for the eigenvectors ``v`` of ``X X^T``, which has the same positive eigenvalues. The entry of
    largest absolute value of each axis is positive (the first such entry in a tie). A direction in which the rows do
    not vary has no determined axis and is a column of zeros.

    Args:
        blocks: called twice; yields the rows in order as arrays ``(m, d)``. The boundaries decide the last bits.
        n: number of rows.
        d: number of columns.
        k: ``1 <= k <= min(n, d)``.

    Source: Jolliffe, Principal Component Analysis, Springer 2002.
    """
    mean = np.zeros(d)
    for block in blocks():
        mean += block.sum(axis=0, dtype=np.float64)
    mean /= n
    if d <= n:
        scatter = np.zeros((d, d))
        for block in blocks():
            centred = block.astype(np.float64) - mean
            scatter += centred.T @ centred
        values, axes = _leading(scatter, k)
    else:
        rows = np.concatenate(list(blocks()))
        parts = [slice(start, start + COLUMNS) for start in range(0, d, COLUMNS)]
        gram = np.zeros((n, n))
        for part in parts:
            centred = rows[:, part].astype(np.float64) - mean[part]
            gram += centred @ centred.T
        values, weights = _leading(gram, k)
        axes = np.concatenate([(rows[:, part].astype(np.float64) - mean[part]).T @ weights for part in parts])
    # Below this an eigenvalue is rounding noise, and so is its vector.
    varies = values > values[0] * max(n, d) * np.finfo(np.float64).eps
    axes[:, ~varies] = 0.0
    if n < d:
        axes[:, varies] /= np.linalg.norm(axes[:, varies], axis=0)
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(k)]
    return mean, axes * np.where(largest < 0, -1.0, 1.0)


def _leading(matrix: Float64s, k: int) -> tuple[Float64s, Float64s]:
    """The `k` largest eigenvalues of a symmetric matrix, falling, with their vectors as columns."""
    m = len(matrix)
    values, vectors = eigh(matrix, subset_by_index=[m - k, m - 1], overwrite_a=True, check_finite=False)
    return values[::-1], np.ascontiguousarray(vectors[:, ::-1])
