"""Correction for many comparisons."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Array
from querist.errors import DataError


def holm(p: npt.ArrayLike) -> Array:
    """Return Holm's step-down adjusted p-values: reject where they are at most alpha, and the probability of any false
    rejection among the m tests is at most alpha, however they depend on one another.

    With p_(1) <= ... <= p_(m): adjusted p_(i) = min(1, max over j <= i of (m - j + 1) p_(j)).

    Args:
        p: ``(m,)`` p-values; NaN for a comparison that could not be made, which still counts in m.

    Returns:
        ``(m,)`` adjusted values in the order given, NaN where `p` is.

    Raises:
        DataError: a value outside 0..1.

    Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    raw = np.atleast_1d(np.asarray(p, dtype=np.float64))
    if ((raw < 0) | (raw > 1)).any():
        raise DataError(f"Expected p-values in 0..1, got {raw.tolist()}.")
    order = np.argsort(raw, kind="stable")  # NaN sorts last
    steps = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
