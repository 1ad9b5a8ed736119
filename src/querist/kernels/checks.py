"""Whether all rows are what they should be, in one pass over them; which rows are not is for slower code to say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

BLOCK = 2**18
"""Entries that one thread looks at in one go."""


def all_finite(x_n_d: npt.NDArray[Any]) -> bool:
    """Return whether no entry is a NaN or an infinity; False also where a sum of float64 numbers overflows."""
    return _holds(_finite, x_n_d)


def all_probabilities(p_n_c: npt.NDArray[Any]) -> bool:
    """Return whether every row surely sums to one within 1e-3 and has no entry below -1e-6."""
    return _holds(_probable, p_n_c)


def _holds(kernel: Callable[[npt.NDArray[Any]], bool], x_n_d: npt.NDArray[Any]) -> bool:
    if x_n_d.ndim != 2 or x_n_d.dtype.kind != "f" or not x_n_d.size:
        return False
    wrong: list[slice] = []

    def work(block: slice) -> None:
        # Numbers beyond the range of float32 are for the slower code, too.
        with np.errstate(over="ignore"):
            x_m_d = dense(x_n_d[block])
        if not wrong and not kernel(x_m_d):
            wrong.append(block)

    each_block(work, len(x_n_d), max(1, BLOCK // x_n_d.shape[1]))
    return not wrong


@jit
def _finite(x_m_d):
    total = 0.0
    for i in range(len(x_m_d)):
        x_d = x_m_d[i]
        for j in range(len(x_d)):
            total += np.float64(x_d[j])
    return np.isfinite(total)


@jit
def _probable(p_m_c):
    wrong = 0
    for i in range(len(p_m_c)):
        p_c = p_m_c[i]
        total, negative = 0.0, 0
        for j in range(len(p_c)):
            total += np.float64(p_c[j])
            negative += p_c[j] < -1e-6
        # A little stricter than the limit, since sums differ in their last bits; a NaN compares as wrong.
        wrong += negative > 0 or not abs(total - 1.0) <= 1e-3 - 1e-9
    return wrong == 0
