"""Uncertainty of one row of class probabilities: entropy, margin, least confidence, alone or in one pass."""

from typing import NamedTuple

import numpy as np

from querist.arrays import Array
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

BLOCK = 1024
"""Rows that one thread scores at a time: they stay in its cache from one score to the next."""

# Coefficients of 2 atanh(s) / s in powers of s^2; what follows the last is below 2^-53 for the s that occur.
_S0, _S1, _S2, _S3, _S4, _S5, _S6, _S7, _S8, _S9, _S10 = (2.0 / (2 * power + 1) for power in range(11))
_LN2 = float(np.log(2.0))
_ROOT_HALF = int(np.array(np.sqrt(0.5)).view(np.int64))
_ONE = int(np.array(1.0).view(np.int64))
_MANTISSA = 2**52 - 1
_TINY = float(np.finfo(np.float64).tiny)


class Uncertainty(NamedTuple):
    """The three scores of n rows, each ``(n,)`` float64."""

    entropy_n: Array
    margin_n: Array
    least_confidence_n: Array


def uncertainty(p_n_c: Array) -> Uncertainty:
    """Return entropy, margin and least confidence of all rows; memory is read once."""
    return _scored(p_n_c, entropies=True, orders=True)


def entropy(p_n_c: Array) -> Array:
    """Return ``(n,)`` entropies in nats, ``0 <= H <= log c``; a probability of 0 adds nothing."""
    return _scored(p_n_c, entropies=True, orders=False).entropy_n


def least_confidence(p_n_c: Array) -> Array:
    """Return ``(n,)``: 1 minus the largest probability."""
    return _scored(p_n_c, entropies=False, orders=True).least_confidence_n


def margin(p_n_c: Array) -> Array:
    """Return ``(n,)``: the second largest probability minus the largest, from -1 (certain) to 0 (torn).

    With one class the second largest is 0.
    """
    return _scored(p_n_c, entropies=False, orders=True).margin_n


def _scored(p_n_c: Array, *, entropies: bool, orders: bool) -> Uncertainty:
    n = len(p_n_c)
    found = Uncertainty(*(np.empty(n if wanted else 0) for wanted in (entropies, orders, orders)))

    def work(block: slice) -> None:
        p_m_c = dense(p_n_c[block])
        if entropies:
            _entropy(p_m_c, found.entropy_n[block])
        if orders:
            _order(p_m_c, found.margin_n[block], found.least_confidence_n[block])

    each_block(work, n, BLOCK)
    return found


@jit
def _entropy(p_m_c, entropy_m):
    """Fill the entropies."""
    # p = 2^k f with f between the roots of 1/2 and 2, and log f = 2 atanh((f - 1) / (f + 1)). Taken from the bits,
    # because a loop with a call of log would not vectorise; nor would one with a checked division.
    for i in range(len(p_m_c)):
        p_c = p_m_c[i]
        total = 0.0
        for j in range(len(p_c)):
            # log(tiny) is finite, and 0 times it is 0: the limit of p log p without a NaN on the way.
            positive = max(np.float64(p_c[j]), _TINY)
            bits = np.float64(positive).view(np.int64) + (_ONE - _ROOT_HALF)
            k = np.float64((bits >> 52) - 1023)
            f = np.int64((bits & _MANTISSA) + _ROOT_HALF).view(np.float64)
            s = np.divide(f - 1.0, f + 1.0)
            z = s * s
            series = _S8 + z * (_S9 + z * _S10)
            series = _S4 + z * (_S5 + z * (_S6 + z * (_S7 + z * series)))
            series = _S0 + z * (_S1 + z * (_S2 + z * (_S3 + z * series)))
            total += max(np.float64(p_c[j]), 0.0) * (k * _LN2 + s * series)
        entropy_m[i] = 0.0 - total


@jit
def _order(p_m_c, margin_m, least_confidence_m):
    """Fill what the two largest probabilities say."""
    m, c = p_m_c.shape
    for i in range(m):
        p_c = p_m_c[i]
        # Two runs side by side: one alone would wait for its own last comparison.
        first = second = other_first = other_second = 0.0
        for j in range(0, c - 1, 2):
            one, other = np.float64(p_c[j]), np.float64(p_c[j + 1])
            second = max(second, min(first, one))
            first = max(first, one)
            other_second = max(other_second, min(other_first, other))
            other_first = max(other_first, other)
        if c % 2:
            one = np.float64(p_c[c - 1])
            second = max(second, min(first, one))
            first = max(first, one)
        second = max(min(first, other_first), max(second, other_second))
        first = max(first, other_first)
        margin_m[i] = second - first
        least_confidence_m[i] = 1.0 - first
