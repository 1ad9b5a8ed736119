"""What a label of one row would tell about the labels of other rows, the targets: information, and change in mean."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from scipy.special import xlogy

from querist.arrays import Array, Hashes, Rows
from querist.kernels.draws import mean_of_draws
from querist.kernels.inner import scores
from querist.kernels.jit import jit
from querist.kernels.top import top_b
from querist.kernels.workers import each_block
from querist.progress import tell

FLOOR = 1e-12
"""Nats: less information than this is none, so that rows which tell nothing tie."""

ROUNDING = 1e-5
"""The most that information computed in single precision may be wrong."""

SLACK = 1e-9
"""Share by which rounding may have lowered a bound."""

FIRST = 512
"""Rows evaluated at once, at the least."""

BLOCK = 64
"""Rows that one thread evaluates at a time."""

ENTRIES = 2**16
"""Entries of the joint distributions of one row with some targets that are held at a time."""

TINY = np.finfo(np.float64).tiny
"""Probabilities below the smallest normal number are 0 for a logarithm or a quotient."""


class Targets:
    """The draws of target rows, centred, as every candidate meets them.

    With ``D_k = p_k - mean_k p_k`` of a target, the joint distribution of the labels of row i and the target is
    ``J = mean_k p_ik (x) p_k = pbar_i (x) pbar + mean_k p_ik (x) D_k``; the second term is what they have in common.
    """

    def __init__(self, draws: Sequence[Array], targets: Rows) -> None:
        k, c, t = len(draws), draws[0].shape[1], len(targets)
        chosen = _members(draws, targets, np.float64)
        mean_t_c = mean_of_draws(list(chosen))
        self.k, self.c, self.t = k, c, t
        self.mean_w = mean_t_c.reshape(-1)
        self.centred_k_w = np.stack([(draw - mean_t_c).reshape(-1) for draw in chosen])
        at_once = max(1, ENTRIES // c**2) * c
        self.parts = [slice(start, min(start + at_once, t * c)) for start in range(0, t * c, at_once)]

    def mean_gram(self, *, relative: bool) -> Array:
        """Return ``(1, k k)``: products of the centred draws, summed over classes, over the mean if `relative`."""
        weight_w = 1.0 / np.maximum(self.mean_w, TINY) if relative else np.ones(len(self.mean_w))
        return np.einsum("kw,lw->kl", self.centred_k_w * weight_w, self.centred_k_w).reshape(1, -1) / self.t

    def gram(self) -> Array:
        """Return ``(t, k k)``: products of the centred draws of every target, summed over classes."""
        d_k_t_c = self.centred_k_w.reshape(self.k, self.t, self.c)
        return np.einsum("ktc,ltc->tkl", d_k_t_c, d_k_t_c).reshape(self.t, -1)


def most_informative(draws: Sequence[Array], targets: Rows, b: int, tie_n: Hashes) -> tuple[Rows, Array]:
    """Return the `b` rows whose labels tell most about the labels of the targets, and how much, in nats.

    Identity: ``u_i = mean_t I(y_i; y_t)``, the mutual information under the mean of the draws; the expected predictive
    information gain of Bickford Smith et al., AISTATS 2023. Exact and lazy: information is at most
    ``log(1 + chi^2)``, whose mean over targets is at most the logarithm of the mean, and that takes O(k^2 c) per row.
    Only rows whose bound reaches the b-th best are evaluated.

    Args:
        draws: k arrays ``(n, c)`` of probabilities; draw j is one function of all rows.
        targets: rows.
        b: ``1 <= b <= n``.
        tie_n: smallest wins.
    """
    shared = Targets(draws, targets)
    chi_n = _quadratic(draws, shared, shared.mean_gram(relative=True))[:, 0]
    bound_n = np.log1p(chi_n) * (1.0 + SLACK)
    value_n = np.zeros(len(bound_n))
    order = np.argsort(-bound_n, kind="stable")
    order = order[bound_n[order] >= FLOOR]
    done, best = 0, -1.0
    while done < len(order):
        rows = order[done : done + max(FIRST, 2 * b, done // 4)]
        rows = rows[bound_n[rows] >= best]
        if not len(rows):
            break
        value_n[rows] = _approximate_information(draws, shared, rows)
        done += len(rows)
        best = np.partition(value_n, -b)[-b] - ROUNDING
        tell("comparing rows with targets", done, len(order))
    # Of those that are as good as the b-th best to single precision, the exact value decides.
    near = order[:done][value_n[order[:done]] >= best - ROUNDING]
    value_n[:] = 0.0
    value_n[near] = _information(draws, shared, near, np.empty((len(near), 1)))[:, 0]
    rows = top_b(value_n, tie_n, b)
    return rows, value_n[rows]


def information_by_target(draws: Sequence[Array], targets: Rows, rows: Rows) -> Array:
    """Return ``(r, t)`` float32: ``I(y_i; y_t)`` in nats for each of `rows` and of `targets`."""
    return _information(draws, Targets(draws, targets), rows, np.empty((len(rows), len(targets)), np.float32))


def change(draws: Sequence[Array], targets: Rows) -> Array:
    """Return ``(n,)``: by how much the label of a row is expected to move the mean prediction of the targets.

    Identity: ``u_i = mean_t E_y |q_ty - pbar_t|^2``, where ``q_ty`` is the mean of the draws of target t, weighted by
    the probability each draw gave to the label y of row i; the expected gain in the Brier score of Tan, Du & Buntine,
    NeurIPS 2021. With ``S_i = sum_y p_y p_y^T / pbar_y``, ``(k, k)``, it is ``<S_i, mean_t D_t D_t^T> / k^2``.

    Args:
        draws: k arrays ``(n, c)`` of probabilities; draw j is one function of all rows.
        targets: rows.
    """
    shared = Targets(draws, targets)
    return _quadratic(draws, shared, shared.mean_gram(relative=False))[:, 0]


def change_by_target(draws: Sequence[Array], targets: Rows, rows: Rows) -> Array:
    """Return ``(r, t)`` float32: `change` for each of `rows` and of `targets` alone."""
    shared = Targets(draws, targets)
    return _quadratic([draw[rows] for draw in draws], shared, shared.gram(), np.float32)


def _quadratic(draws: Sequence[Array], targets: Targets, gram_m_w: Array, dtype: type = np.float64) -> Array:
    """Return ``(n, m)``: ``<S_i, G_m> / k^2``, never below 0."""
    n, k = len(draws[0]), targets.k
    out_n_m = np.empty((n, len(gram_m_w)), dtype)

    def work(block: slice) -> None:
        p_m_k_c = np.ascontiguousarray(_members(draws, block, np.float64).transpose(1, 0, 2))
        s_m_w = np.empty((len(p_m_k_c), k * k))
        _overlaps(p_m_k_c, s_m_w)
        out_n_m[block] = np.maximum(scores(s_m_w, gram_m_w) / k**2, 0.0)

    each_block(work, n, max(1, min(8 * BLOCK, 2**21 // (k * max(k, targets.c)))))
    return out_n_m


def _members(draws: Sequence[Array], rows: Rows | slice, dtype: type) -> Array:
    """Return the draws of some rows, ``(k, m, c)``: none below 0, and sums of 1 where half precision left others."""
    p_k_m_c = np.stack([draw[rows] for draw in draws]).astype(dtype)
    np.maximum(p_k_m_c, 0.0, out=p_k_m_c)
    p_k_m_c /= p_k_m_c.sum(axis=2, keepdims=True)
    return p_k_m_c


def _information(draws: Sequence[Array], targets: Targets, rows: Rows, out_r_t: Array) -> Array:
    """Fill `out_r_t` with the information of `rows` about each target, or with the mean if it has one column."""

    def work(block: slice) -> None:
        for i in range(block.start, block.stop):
            p_k_1_c = _members(draws, rows[i : i + 1], np.float64)
            p_k_c, mean_c = p_k_1_c[:, 0], mean_of_draws(list(p_k_1_c))[0]
            total_w = np.zeros(len(targets.mean_w))
            for part in targets.parts:
                # One row at a time: a matrix product of always the same shape, so that equal rows have equal bits.
                common_c_w = p_k_c.T @ targets.centred_k_w[:, part]
                _add_information(common_c_w, mean_c, targets.mean_w[part], 1.0 / targets.k, total_w[part])
            told_t = total_w.reshape(targets.t, targets.c).sum(axis=1)
            out_r_t[i] = told_t if out_r_t.shape[1] > 1 or targets.t == 1 else told_t.mean()
        out = out_r_t[block]
        out[out < FLOOR] = 0.0

    each_block(work, len(rows), BLOCK)
    return out_r_t


def _approximate_information(draws: Sequence[Array], targets: Targets, rows: Rows) -> Array:
    """Return the mean information of `rows` about the targets, in single precision."""
    k, c = targets.k, targets.c
    p_k_w = (targets.centred_k_w + targets.mean_w).astype(np.float32)
    entropy = float(-xlogy(p_k_w.mean(axis=0), p_k_w.mean(axis=0)).sum()) / targets.t
    value_r = np.empty(len(rows))
    at_once = max(1, ENTRIES // (targets.parts[0].stop * c))

    def work(block: slice) -> None:
        for start in range(block.start, block.stop, at_once):
            some = slice(start, min(start + at_once, block.stop))
            p_k_m_c = _members(draws, rows[some], np.float32)
            mean_m_c = p_k_m_c.mean(axis=0)
            told_m = np.zeros(len(mean_m_c))
            p_v_k = p_k_m_c.reshape(k, -1).T / np.float32(k)
            for part in targets.parts:
                _add_negative_entropy(p_v_k @ p_k_w[:, part], c, told_m)
            value_r[some] = entropy - xlogy(mean_m_c, mean_m_c).sum(axis=1) + told_m / targets.t

    each_block(work, len(rows), BLOCK)
    return value_r


@jit
def _overlaps(p_m_k_c, s_m_w):
    """Fill ``s_m_w[i, k k' ]`` with ``sum_y p_ky p_k'y / pbar_y``; a label that no draw expects adds nothing."""
    m, k, c = p_m_k_c.shape
    scale_c, a_k_c = np.empty(c), np.empty((k, c))
    for i in range(m):
        p_k_c = p_m_k_c[i]
        scale_c[:] = 0.0
        for j in range(k):
            for y in range(c):
                scale_c[y] += p_k_c[j, y]
        for y in range(c):
            scale_c[y] = np.sqrt(k / scale_c[y]) if scale_c[y] > TINY else 0.0
        for j in range(k):
            for y in range(c):
                a_k_c[j, y] = p_k_c[j, y] * scale_c[y]
        for j in range(k):
            u = a_k_c[j]
            for l in range(j + 1):
                v = a_k_c[l]
                total = 0.0
                for y in range(c):
                    total += u[y] * v[y]
                s_m_w[i, j * k + l] = s_m_w[i, l * k + j] = total


# The same as in `joint`, written again: a compiled function calls none of another file (see `jit`).
@njit(inline="always")
def _plogp(x):
    """``x log x`` of a probability to about 1e-7; 0 at 0. Free of branches, so it is vectorised."""
    bits = np.float32(max(x, np.float32(1.1754944e-38))).view(np.int32)
    above = np.int32(bits - np.int32(0x3F3504F3))  # of the square root of 1/2, as in the logarithm of the draws
    exponent = np.int32((above >> np.int32(23)) + np.int32(0x4B400000)).view(np.float32) - np.float32(12582912.0)
    f = np.int32(bits - (above & np.int32(-0x800000))).view(np.float32) - np.float32(1.0)
    s = f / (np.float32(2.0) + f)
    z = s * s
    p = np.float32(2.0 / 9.0)
    p = p * z + np.float32(2.0 / 7.0)
    p = p * z + np.float32(2.0 / 5.0)
    p = p * z + np.float32(2.0 / 3.0)
    p = p * z + np.float32(2.0)
    return x * (exponent * np.float32(0.6931471805599453) + s * p)


@njit(nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def _sum_plogp(p_w):
    total = np.float32(0.0)
    for w in range(p_w.size):
        total += _plogp(p_w[w])
    return total


@jit
def _add_negative_entropy(joint_v_w, c, told_m):
    for i in range(len(told_m)):
        for y in range(c):
            told_m[i] += _sum_plogp(joint_v_w[i * c + y])


@njit(inline="always")
def _log(x):
    """The natural logarithm of a normal number to the last bit or two. Free of branches, so it is vectorised."""
    bits = np.float64(x).view(np.int64)
    above = bits - 0x3FE6A09E667F3BCD  # of the square root of 1/2, as in the logarithm of the draws
    exponent = np.int64((above >> 52) + 0x4330000000000400).view(np.float64) - 4503599627371520.0
    f = np.int64(bits - (above & -0x10000000000000)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = 2.0 / 19.0
    for odd in (17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        p = p * z + 2.0 / odd
    return exponent * 0.6931471805599453 + s * p


@njit(nogil=True, fastmath={"contract"}, error_model="numpy")
def _add_row(common_w, mean, mean_w, share, total_w):
    for w in range(total_w.size):
        apart = mean * mean_w[w]
        r = share * common_w[w] / max(apart, TINY)
        s = max(1.0 + r, TINY)
        total_w[w] += apart * max(s * _log(s) - r, 0.0)


@jit
def _add_information(common_c_w, mean_c, mean_w, share, total_w):
    """Add ``sum_y (J log(J / apart) - J + apart)`` with ``apart = pbar_y pbar`` to `total_w`: no term is below 0."""
    for y in range(len(mean_c)):
        _add_row(common_c_w[y], mean_c[y], mean_w, share, total_w)
