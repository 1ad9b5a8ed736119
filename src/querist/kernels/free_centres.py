"""Free unit vectors that move to where points are and away from one another, and the point each ends up next to."""

import numpy as np

from querist.arrays import Array, Hashes, Rows
from querist.kernels.inner import scores
from querist.kernels.jit import dense, jit
from querist.kernels.threads import single_threaded_blas
from querist.progress import tell

BLOCK = 2**21
"""Similarities of points and centres computed at a time."""

SLACK = 1e-5
"""More than single precision can be wrong about a similarity."""

COLUMNS = 16
"""Centres whose similarities to all points are held at a time, in the end."""

DECAY, SQUARE_DECAY, TINY = 0.9, 0.999, 1e-8
"""Adam's own constants (Kingma & Ba, ICLR 2015)."""


@single_threaded_blas()
def moved_centres(
    x_n_d: Array, start_b_d: Array, *, tau: float, balance: float, steps: int, rate: float
) -> tuple[Array, Array]:
    """Return ``(b, d)`` unit vectors that maximise the objective of ActiveFT, and its value before every step.

    Identity: the mean over points of ``log e_i - log(e_i + balance * sum_j exp(<t_c, t_j> / tau))`` with
    ``e_i = exp(<f_i, t_c> / tau)`` and c the centre most similar to point i; `t_c` counts as constant in the sum, whose
    term ``j = c`` is included. Adam, and rows brought back to unit length after every step. Xie et al., CVPR 2023.

    Which centre is the most similar one is looked up only where the centres may have moved far enough to change it, so
    time is O(steps n d) and, for the look-ups, up to O(steps n b d). Memory O(n + b d + block).

    Args:
        x_n_d: points of unit length, or 0.
        start_b_d: where the centres start, of unit length, or 0.
        tau: temperature.
        balance: weight of the term that keeps centres apart; positive.
        steps: of Adam.
        rate: Adam's step size.
    """
    x_n_d = dense(x_n_d)
    n = len(x_n_d)
    theta = start_b_d.astype(np.float64)
    mean, square, value = np.zeros_like(theta), np.zeros_like(theta), np.empty(steps)
    own_n, rival_n, owner_n = np.empty(n), np.empty(n), np.zeros(n, np.intp)
    _look_up(x_n_d, theta, np.arange(n), owner_n, rival_n)
    for step in range(steps):
        _similar(x_n_d, theta, owner_n, own_n)
        unsure = np.flatnonzero(own_n < rival_n + SLACK)
        if len(unsure):
            _look_up(x_n_d, theta, unsure, owner_n, rival_n)
            _similar(x_n_d, theta, owner_n, own_n)
        # Similarities are at most 1, so with 1 taken off nothing overflows, and the term j = c keeps sums positive.
        repel_b_b = np.exp((theta @ theta.T - 1.0) / tau)
        apart_n = balance * repel_b_b.sum(axis=1)[owner_n]
        total_n = np.exp((own_n - 1.0) / tau) + apart_n
        value[step] = ((own_n - 1.0) / tau - np.log(total_n)).mean()

        pull, push_b = np.zeros_like(theta), np.bincount(owner_n, balance / total_n, len(theta))
        _gather(x_n_d, owner_n, apart_n / total_n, pull)
        gradient = (pull - (repel_b_b * push_b[:, None]).T @ theta) / (n * tau)

        mean += (1.0 - DECAY) * (gradient - mean)
        square += (1.0 - SQUARE_DECAY) * (gradient**2 - square)
        scale = np.sqrt(square / (1.0 - SQUARE_DECAY ** (step + 1))) + TINY
        moved = theta + rate * mean / (1.0 - DECAY ** (step + 1)) / scale
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        moved /= np.where(length > 0.0, length, 1.0)
        # No centre comes closer to a point of unit length than it moved; 1 % for points a little longer than that.
        shift_b = 1.01 * np.linalg.norm(moved - theta, axis=1)
        most = shift_b.max()
        last = shift_b.argmax()
        second = np.delete(shift_b, last).max(initial=0.0)
        rival_n += np.where(owner_n == last, second, most)
        theta = moved
        tell("moving centres", step + 1, steps)
    return theta, value


def nearest_unused(x_n_d: Array, centre_b_d: Array, tie_n: Hashes) -> tuple[Rows, Array]:
    """Return for each centre in turn the most similar point that no centre before it took, and the similarities.

    Args:
        x_n_d: at least as many points as centres.
        centre_b_d: centres.
        tie_n: of equally similar points the smallest wins.
    """
    rows, near = np.empty(len(centre_b_d), np.intp), np.empty(len(centre_b_d))
    used_n = np.zeros(len(x_n_d), np.bool_)
    for first in range(0, len(centre_b_d), COLUMNS):
        like_n_m = scores(x_n_d, centre_b_d[first : first + COLUMNS])
        for j, like_n in enumerate(like_n_m.T):
            like_n = np.where(used_n, -np.inf, like_n)
            best = np.flatnonzero(like_n == like_n.max())
            rows[first + j] = best[tie_n[best].argmin()]
            near[first + j] = like_n[rows[first + j]]
            used_n[rows[first + j]] = True
    return rows, near


def _look_up(x_n_d: Array, theta: Array, rows: Rows, owner_n: Rows, rival_n: Array) -> None:
    """Fill the most similar centre of some points and how similar the second is."""
    centre_d_b = np.ascontiguousarray(theta.T.astype(x_n_d.dtype))
    size = max(1, BLOCK // len(theta))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        _two_best(x_n_d[part] @ centre_d_b, part, owner_n, rival_n)


@jit
def _two_best(like_m_b, rows, owner_n, rival_n):
    for i in range(len(rows)):
        like_b = like_m_b[i]
        best = second = -np.inf
        for j in range(len(like_b)):
            s = np.float64(like_b[j])
            second = max(second, min(best, s))
            best = max(best, s)
        for j in range(len(like_b)):
            if like_b[j] == best:
                owner_n[rows[i]] = j
                break
        rival_n[rows[i]] = second


@jit
def _similar(x_n_d, theta, owner_n, own_n):
    """Fill the similarity of every point to its centre."""
    for i in range(len(x_n_d)):
        x, t = x_n_d[i], theta[owner_n[i]]
        total = 0.0
        for j in range(len(x)):
            total += x[j] * t[j]
        own_n[i] = total


@jit
def _gather(x_n_d, owner_n, weight_n, sum_b_d):
    """Add every point, weighted, to the row of its centre."""
    for i in range(len(x_n_d)):
        x, total, w = x_n_d[i], sum_b_d[owner_n[i]], weight_n[i]
        for j in range(len(x)):
            total[j] += w * x[j]
