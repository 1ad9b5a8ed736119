"""Uncertainty of one row of class probabilities: entropy, margin, least confidence."""

from collections.abc import Callable

import numpy as np

from querist.arrays import Array

BLOCK = 8192
"""Rows scored at a time: temporaries stay in the cache."""


def entropy(p_n_c: Array) -> Array:
    """Return ``(n,)`` entropies in nats, ``0 <= H <= log c``; a probability of 0 adds nothing."""

    def score(p_m_c: Array) -> Array:
        p_m_c = np.maximum(p_m_c, 0.0, dtype=np.float64)
        # log(tiny) is finite, and 0 times it is 0: the limit of p log p without a NaN on the way.
        return -(p_m_c * np.log(np.maximum(p_m_c, np.finfo(np.float64).tiny))).sum(axis=1)

    return _by_blocks(score, p_n_c)


def least_confidence(p_n_c: Array) -> Array:
    """Return ``(n,)``: 1 minus the largest probability."""
    return 1.0 - p_n_c.max(axis=1).astype(np.float64)


def margin(p_n_c: Array) -> Array:
    """Return ``(n,)``: the second largest probability minus the largest, from -1 (certain) to 0 (torn)."""

    def score(p_m_c: Array) -> Array:
        second, first = np.partition(p_m_c, -2, axis=1)[:, -2:].T.astype(np.float64)
        return second - first

    return _by_blocks(score, p_n_c)


def _by_blocks(score: Callable[[Array], Array], p_n_c: Array) -> Array:
    if len(p_n_c) <= BLOCK:
        return score(p_n_c)
    return np.concatenate([score(p_n_c[start : start + BLOCK]) for start in range(0, len(p_n_c), BLOCK)])
