"""Scores of rows from several draws of their class probabilities: spread, entropy, votes, mutual information."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from querist.arrays import Array
from querist.kernels.jit import jit
from querist.kernels.workers import each_block

BLOCK = 2**13
"""Entries per draw, rows times classes, that are scored at a time."""

TASK = 16
"""Blocks that a thread scores one after the other, in the same memory."""

LANES = 64
"""Entries are padded to a multiple of this many, so that every one of them meets the same vector code."""

TINY = np.finfo(np.float64).tiny
"""Probabilities below the smallest normal number are 0 for a logarithm; times it, they still add nothing."""


def mean_of_draws(draws: Sequence[Array]) -> Array:
    """Return the mean of the draws, ``(n, c)`` float64; exactly the first draw if all are the same.

    Args:
        draws: k arrays ``(n, c)`` of probabilities, of any floating type.
    """
    first_n_c = np.asarray(draws[0], np.float64)
    mean_n_c = np.zeros(first_n_c.shape)
    for draw in draws[1:]:
        mean_n_c += draw
        mean_n_c -= first_n_c
    mean_n_c /= len(draws)
    mean_n_c += first_n_c
    return mean_n_c


def mean_std(draws: Sequence[Array]) -> Array:
    """Return ``(n,)``: the standard deviation over draws (of the population), averaged over classes.

    Args:
        draws: k arrays ``(n, c)`` of probabilities, of any floating type.
    """
    return _by_blocks(_mean_std, draws)


def entropy_of_mean(draws: Sequence[Array]) -> Array:
    """Return ``(n,)``: the entropy of the mean of the draws ``(n, c)``, in nats, ``0 <= H <= log c``."""
    return _by_blocks(_entropy_of_mean, draws)


def mutual_information(draws: Sequence[Array]) -> Array:
    """Return ``(n,)``: what a label would tell about which draw is right, ``0 <= I <= min(log k, log c)`` nats.

    Identity: ``I = H(mean_k p_k) - mean_k H(p_k)`` (Houlsby et al. 2011). Differences are taken to the first draw, so
    that draws which are all the same give exactly 0.

    Args:
        draws: k arrays ``(n, c)`` of probabilities, of any floating type.
    """
    return _by_blocks(_mutual_information, draws)


def mean_divergence(draws: Sequence[Array]) -> Array:
    """Return ``(n,)``: the mean Kullback-Leibler divergence of the draws ``(n, c)`` from their mean, in nats.

    Identity: equals `mutual_information`; this one adds up ``p_k (log p_k - log mean)``.
    """
    return _by_blocks(_mean_divergence, draws)


def variation_ratio(draws: Sequence[Array]) -> Array:
    """Return ``(n,)``: 1 minus the share of the votes that the most popular class has, ``0 <= v <= 1 - 1/c``.

    Every draw has one vote, for its most likely class. Classes that tie inside a draw share its vote equally: nothing
    else treats classes alike, draws alike and equal rows alike. Without such ties the values are multiples of 1/k.
    """
    return _by_blocks(_variation_ratio, draws)


def vote_entropy(draws: Sequence[Array]) -> Array:
    """Return ``(n,)``: the entropy of the vote shares in nats, ``0 <= H <= log c``; votes as in `variation_ratio`."""
    return _by_blocks(_vote_entropy, draws)


def _by_blocks(kernel: Callable[[npt.NDArray[Any], int, Array], None], draws: Sequence[Array]) -> Array:
    """Score a few rows at a time, all draws of them: beside the draws, memory is a block of each."""
    n, c = draws[0].shape
    rows = max(1, BLOCK // c)
    dtype = np.float64 if any(draw.dtype == np.float64 for draw in draws) else np.float32
    out_n = np.empty(n)

    def work(task: slice) -> None:
        stack_k_w = np.zeros((len(draws), -(-rows * c // LANES) * LANES), dtype)
        for start in range(task.start, task.stop, rows):
            part = slice(start, min(start + rows, task.stop))
            entries = (part.stop - part.start) * c
            for stacked_w, draw in zip(stack_k_w, draws, strict=True):
                stacked_w[:entries].reshape(-1, c)[:] = draw[part]
            kernel(stack_k_w, c, out_n[part])

    each_block(work, n, TASK * rows)
    return out_n


@njit(inline="always")
def _log(x):
    """The natural logarithm of a normal number to the last bit or two. Free of branches, so it is vectorised."""
    bits = np.float64(x).view(np.int64)
    above = bits - 0x3FE6A09E667F3BCD  # of the square root of 1/2: the rest of x is taken within a factor of two of it
    exponent = np.int64((above >> 52) + 0x4330000000000400).view(np.float64) - 4503599627371520.0
    f = np.int64(bits - (above & -0x10000000000000)).view(np.float64) - 1.0
    s = f / (2.0 + f)  # log(1 + f) = 2 artanh(s)
    z = s * s
    p = 2.0 / 19.0
    for odd in (17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        p = p * z + 2.0 / odd
    return exponent * 0.6931471805599453 + s * p


# The loops of these helpers are what is vectorised; a division that may raise would keep them from it.


@njit(nogil=True, fastmath={"contract"}, error_model="numpy")
def _logs(p_w, log_w):
    for i in range(log_w.size):
        log_w[i] = _log(max(np.float64(p_w[i]), TINY))


@njit(nogil=True, fastmath={"contract"}, error_model="numpy")
def _entropies(p_w, h_w):
    for i in range(h_w.size):
        p = max(np.float64(p_w[i]), 0.0)
        h_w[i] = -p * _log(max(p, TINY))


@njit(nogil=True, error_model="numpy")
def _means(p_k_w, mean_w):
    """Set `mean_w` to the mean over draws; exactly the first draw if all are the same."""
    first_w = p_k_w[0]
    mean_w[:] = 0.0
    for k in range(1, len(p_k_w)):
        p_w = p_k_w[k]
        for i in range(mean_w.size):
            mean_w[i] += np.float64(p_w[i]) - np.float64(first_w[i])
    for i in range(mean_w.size):
        mean_w[i] = np.float64(first_w[i]) + mean_w[i] / len(p_k_w)


@njit(nogil=True)
def _add_change(new_w, old_w, total_w):
    for i in range(total_w.size):
        total_w[i] += new_w[i] - old_w[i]


@njit(nogil=True, fastmath={"contract"})
def _add_divergence(p_w, log_w, log_mean_w, total_w):
    for i in range(total_w.size):
        total_w[i] += max(np.float64(p_w[i]), 0.0) * (log_w[i] - log_mean_w[i])


@njit(nogil=True, fastmath={"contract"})
def _add_square(p_w, mean_w, total_w):
    for i in range(total_w.size):
        difference = np.float64(p_w[i]) - mean_w[i]
        total_w[i] += difference * difference


@njit(nogil=True, fastmath={"reassoc"})
def _row_sums(x_w, c, out_m):
    for i in range(out_m.size):
        x_c = x_w[i * c : i * c + c]
        total = 0.0
        for j in range(c):
            total += x_c[j]
        out_m[i] = total


@jit
def _mean_std(p_k_w, c, out_m):
    w = p_k_w.shape[1]
    mean_w, total_w = np.empty(w), np.zeros(w)
    _means(p_k_w, mean_w)
    for k in range(len(p_k_w)):
        _add_square(p_k_w[k], mean_w, total_w)
    for i in range(w):
        total_w[i] = np.sqrt(total_w[i] / len(p_k_w))
    _row_sums(total_w, c, out_m)
    for i in range(out_m.size):
        out_m[i] /= c


@jit
def _entropy_of_mean(p_k_w, c, out_m):
    mean_w, h_w = np.empty(p_k_w.shape[1]), np.empty(p_k_w.shape[1])
    _means(p_k_w, mean_w)
    _entropies(mean_w, h_w)
    _row_sums(h_w, c, out_m)


@jit
def _mutual_information(p_k_w, c, out_m):
    w = p_k_w.shape[1]
    mean_w, h_w, first_w, total_w = np.empty(w), np.empty(w), np.empty(w), np.zeros(w)
    _means(p_k_w, mean_w)
    _entropies(p_k_w[0], first_w)
    for k in range(1, len(p_k_w)):
        _entropies(p_k_w[k], h_w)
        _add_change(h_w, first_w, total_w)
    _entropies(mean_w, h_w)
    for i in range(w):
        total_w[i] = (h_w[i] - first_w[i]) - total_w[i] / len(p_k_w)
    _row_sums(total_w, c, out_m)
    for i in range(out_m.size):
        out_m[i] = max(out_m[i], 0.0)


@jit
def _mean_divergence(p_k_w, c, out_m):
    w = p_k_w.shape[1]
    mean_w, log_mean_w, log_w, total_w = np.empty(w), np.empty(w), np.empty(w), np.zeros(w)
    _means(p_k_w, mean_w)
    _logs(mean_w, log_mean_w)
    for k in range(len(p_k_w)):
        _logs(p_k_w[k], log_w)
        _add_divergence(p_k_w[k], log_w, log_mean_w, total_w)
    _row_sums(total_w, c, out_m)
    for i in range(out_m.size):
        out_m[i] = max(out_m[i] / len(p_k_w), 0.0)


@njit(nogil=True, fastmath={"nnan", "nsz"}, error_model="numpy")
def _vote(p_k_w, c, votes_w):
    """Count the votes per entry. Shares are multiples of 2^-30, so their sum does not depend on the order of draws."""
    votes_w[:] = 0.0
    for k in range(len(p_k_w)):
        for start in range(0, votes_w.size // c * c, c):
            p_c, votes_c = p_k_w[k, start : start + c], votes_w[start : start + c]
            top = p_c[0]
            for j in range(1, c):
                top = max(top, p_c[j])
            tied = 0
            for j in range(c):
                tied += p_c[j] == top
            share = np.floor(2.0**30 / tied + 0.5) * 2.0**-30
            for j in range(c):
                votes_c[j] += share if p_c[j] == top else 0.0


@jit
def _variation_ratio(p_k_w, c, out_m):
    votes_w = np.empty(p_k_w.shape[1])
    _vote(p_k_w, c, votes_w)
    for i in range(out_m.size):
        top = 0.0
        for j in range(c):
            top = max(top, votes_w[i * c + j])
        out_m[i] = 1.0 - top / len(p_k_w)


@jit
def _vote_entropy(p_k_w, c, out_m):
    votes_w = np.empty(p_k_w.shape[1])
    _vote(p_k_w, c, votes_w)
    for i in range(votes_w.size):
        votes_w[i] /= len(p_k_w)
    _entropies(votes_w, votes_w)
    # Multiples of 2^-40, so that the sum does not depend on the order of classes: equal patterns of votes are ties.
    for i in range(votes_w.size):
        votes_w[i] = np.floor(votes_w[i] * 2.0**40 + 0.5) * 2.0**-40
    _row_sums(votes_w, c, out_m)
