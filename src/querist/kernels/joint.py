"""Batches that tell most about which draw is right: greedy joint mutual information, exact first and then sampled."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.draws import mutual_information
from querist.kernels.jit import jit
from querist.kernels.scores import entropy
from querist.kernels.workers import each_block
from querist.progress import tell

FLOOR = 1e-5
"""Nats: a gain below it counts as none, and once no row gains more the batch is completed by smallest hash."""

ROUNDING = 5e-7
"""The most a gain computed in float32 may be wrong; rows that come as close to the best are compared in float64."""

SLACK = 1.5
"""Sampled gains may rise from step to step; bounds are raised by this multiple of the largest rise seen in the step."""

FIRST = 256
"""Rows evaluated at once, at the least."""

BLOCK = 64
"""Rows that one thread evaluates at a time."""

ENTRIES = 2**20
"""Numbers in the temporary arrays of an evaluation, at the most."""

TILE = 256
"""Configurations taken together in the compiled loop; their numbers stay in the fastest cache."""


class Outcomes(NamedTuple):
    """What the labels of the picks so far may turn out to be, and what each outcome would say about the draws."""

    weight_m: Array
    """The probability of each configuration of labels; sums to 1."""
    belief_k_m: Array
    """The probability that draw k is right, given configuration m; columns sum to 1."""
    sampled: bool
    """Whether these are samples, as many from each draw and in the order of draws, or all that are possible."""

    @staticmethod
    def none(k: int) -> "Outcomes":
        """Return the one outcome there is before anything is picked."""
        return Outcomes(np.ones(1), np.full((k, 1), 1.0 / k), False)


def joint_information(
    draws: Sequence[Array],
    b: int,
    tie_n: Hashes,
    *,
    samples: int,
    generator: Callable[[int], np.random.Generator],
) -> tuple[Rows, Array]:
    """Return `b` rows, each the one that adds most to the joint mutual information of labels and draws, and the gains.

    Identity: ``I(y_1..y_m, y; draw) - I(y_1..y_m; draw) = E[H(sum_k w_k p_k)] - sum_k E[w_k] H(p_k)``, where ``w`` is
    the belief about draws given an outcome of the earlier labels. Both expectations are over the same outcomes, so that
    every gain is 0 or larger and vanishes, sampled or not, when the labels before tell all. Kirsch, van Amersfoort &
    Gal, NeurIPS 2019.

    Gains never rise as picks are added, so those of earlier steps are bounds, and only rows whose bound exceeds the
    best gain are evaluated again.

    Args:
        draws: k arrays ``(n, c)`` of probabilities; draw j is one function of all rows.
        b: ``1 <= b <= n``.
        tie_n: smallest wins.
        samples: outcomes are enumerated while there are at most as many, and sampled from then on, as many from each
            draw as make at most this number, at least one.
        generator: returns the random numbers of a step 1, 2, ...; asked from the first sampled step on.
    """
    bound_n = mutual_information(draws)
    open_n = np.ones(len(bound_n), np.bool_)
    rows, gain = np.empty(b, np.intp), np.zeros(b)
    outcomes = Outcomes.none(len(draws))
    near = np.flatnonzero(bound_n == bound_n.max())
    value = bound_n[near]
    for step in range(b):
        if step:
            outcomes = observe(outcomes, _members(draws, rows[step - 1]), samples, generator, step)
            near, value = _nearly_best(draws, outcomes, bound_n, open_n)
            if not len(near):
                rest = np.flatnonzero(open_n)
                rows[step:] = rest[tie_n[rest].argsort()][: b - step]
                break
        best = near[value == value.max()]
        rows[step], gain[step] = best[tie_n[best].argmin()], value.max()
        open_n[rows[step]] = False
        tell("picking", step + 1, b)
    return rows, gain


def observe(
    outcomes: Outcomes,
    p_k_c: Array,
    samples: int,
    generator: Callable[[int], np.random.Generator],
    step: int,
) -> Outcomes:
    """Return the outcomes after one more label, whose probabilities under each draw are `p_k_c`.

    Outcomes of probability 0 are left out. Where `joint_information` says so, the others are sampled: for each draw
    its own labels, stratified (Latin hypercube), which leaves every sample with the right law and cancels most of the
    noise.
    """
    k, c = p_k_c.shape
    p_k_c = np.maximum(p_k_c, 0.0, dtype=np.float64)
    p_k_c /= p_k_c.sum(axis=1, keepdims=True)
    if not outcomes.sampled and len(outcomes.weight_m) * c <= samples:
        belief_k_m = (outcomes.belief_k_m[:, :, None] * p_k_c[:, None, :]).reshape(k, -1)
        total_m = belief_k_m.sum(axis=0)
        weight_m = np.repeat(outcomes.weight_m, c) * total_m
        some = weight_m > 0.0
        return Outcomes(weight_m[some], belief_k_m[:, some] / total_m[some], False)
    rng = generator(step)
    each = max(1, samples // k)
    belief_k_m = outcomes.belief_k_m
    if not outcomes.sampled:
        chances = (_sample(outcomes.weight_m * belief_m, each, rng, sort=True) for belief_m in belief_k_m)
        belief_k_m = belief_k_m[:, np.concatenate(list(chances))]
    label_m = np.concatenate([_sample(p_c, each, rng) for p_c in p_k_c])
    belief_k_m = np.stack([belief_m * p_c[label_m] for belief_m, p_c in zip(belief_k_m, p_k_c, strict=True)])
    belief_k_m /= belief_k_m.sum(axis=0)
    return Outcomes(np.full(k * each, 1.0 / (k * each)), belief_k_m, True)


def gains(draws: Sequence[Array], outcomes: Outcomes, rows: Rows) -> Array:
    """Return what a label of each of `rows` would add, in float64, ``(r,)`` nats; the same bits for equal rows."""
    mean_k = outcomes.belief_k_m @ outcomes.weight_m
    value_r = np.empty(len(rows))
    seen: dict[bytes, float] = {}  # a pool full of duplicates has them all among the best
    for i, row in enumerate(rows):
        p_k_c = _members(draws, row)
        text = p_k_c.tobytes()
        if text not in seen:
            seen[text] = _expected_entropy(outcomes, p_k_c) - float(mean_k @ entropy(p_k_c))
        value_r[i] = max(seen[text], 0.0)
    return value_r


def _expected_entropy(outcomes: Outcomes, p_k_c: Array) -> float:
    at_once, total = max(1, ENTRIES // p_k_c.shape[1]), 0.0
    for start in range(0, len(outcomes.weight_m), at_once):
        part = slice(start, start + at_once)
        total += outcomes.weight_m[part] @ entropy(outcomes.belief_k_m[:, part].T @ p_k_c)
    return float(total)


def _nearly_best(draws: Sequence[Array], outcomes: Outcomes, bound_n: Array, open_n: Bools) -> tuple[Rows, Array]:
    """Return the open rows among which the best is, with their gains; none if no gain reaches the floor.

    Bounds of rows that are evaluated become their present gains.
    """
    belief_k_m = outcomes.belief_k_m.astype(np.float32)
    mean_k = outcomes.belief_k_m @ outcomes.weight_m
    stale_n, best, slack = open_n.copy(), FLOOR, ROUNDING
    while stale_n.any():
        waiting = np.flatnonzero(stale_n)
        bound = bound_n[waiting]
        if bound.max() + slack < best:
            break
        count = min(len(waiting), max(FIRST, (open_n.sum() - len(waiting)) // 4))
        rows = waiting[np.argpartition(-bound, count - 1)[:count]]
        gain = _approximate_gains(draws, outcomes.weight_m, belief_k_m, mean_k, rows)
        if outcomes.sampled:
            slack = max(slack, ROUNDING + SLACK * float((gain - bound_n[rows]).max()))
        bound_n[rows], stale_n[rows] = gain, False
        best = max(best, float(gain.max()))
    near = np.flatnonzero(open_n & ~stale_n & (bound_n >= best - 2.0 * ROUNDING))
    value = gains(draws, outcomes, near)
    return (near, value) if value.max(initial=0.0) >= FLOOR else (near[:0], value[:0])


def _approximate_gains(draws: Sequence[Array], weight_m: Array, belief_k_m: Array, mean_k: Array, rows: Rows) -> Array:
    k, c = len(draws), draws[0].shape[1]
    gain_r = np.empty(len(rows))

    def work(block: slice) -> None:
        p_r_k_c = np.stack([draw[rows[block]] for draw in draws], axis=1)
        # Classes come in pairs; one of probability 0 adds nothing.
        p_r_c_k = np.zeros((len(p_r_k_c), c + c % 2, k), np.float32)
        p_r_c_k[:, :c] = p_r_k_c.transpose(0, 2, 1)
        _expected_entropies(weight_m, belief_k_m, p_r_c_k, gain_r[block])
        gain_r[block] -= entropy(p_r_k_c.reshape(-1, c)).reshape(-1, k) @ mean_k

    each_block(work, len(rows), max(1, min(BLOCK, ENTRIES // (k * c))))
    return gain_r


def _members(draws: Sequence[Array], row: np.intp) -> Array:
    return np.stack([draw[row] for draw in draws]).astype(np.float64)


def _sample(chance_m: Array, count: int, rng: np.random.Generator, *, sort: bool = False) -> Rows:
    """Return `count` positions in proportion to `chance_m`, one from each of as many equal strata."""
    stratum = np.arange(count) if sort else rng.permutation(count)
    edge_m = np.cumsum(chance_m)
    position = np.searchsorted(edge_m, (stratum + rng.random(count)) / count * edge_m[-1], side="right")
    return np.minimum(position, np.flatnonzero(chance_m)[-1])  # the product may round up to the last edge


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


@njit(nogil=True, fastmath={"contract"}, error_model="numpy")
def _plogp_of_both(u, v, g):
    for t in range(g.size):
        g[t] = _plogp(u[t]) + _plogp(v[t])


@njit(nogil=True)
def _subtract(g, h):
    # Apart from the loop above: a float64 in it would halve the numbers that are computed at once.
    for t in range(h.size):
        h[t] -= g[t]


@njit(nogil=True, fastmath={"contract"})
def _mix(p, q, w, u, v):
    """Set `u` and `v` to ``p @ w`` and ``q @ w``; two by five terms at a time keep the operands in registers."""
    u[:] = np.float32(0.0)
    v[:] = np.float32(0.0)
    j = 0
    while j + 5 <= len(w):
        p0, p1, p2, p3, p4 = p[j], p[j + 1], p[j + 2], p[j + 3], p[j + 4]
        q0, q1, q2, q3, q4 = q[j], q[j + 1], q[j + 2], q[j + 3], q[j + 4]
        w0, w1, w2, w3, w4 = w[j], w[j + 1], w[j + 2], w[j + 3], w[j + 4]
        for t in range(u.size):
            x0, x1, x2, x3, x4 = w0[t], w1[t], w2[t], w3[t], w4[t]
            one = u[t] + p0 * x0 + p1 * x1 + p2 * x2 + p3 * x3 + p4 * x4
            other = v[t] + q0 * x0 + q1 * x1 + q2 * x2 + q3 * x3 + q4 * x4
            u[t], v[t] = one, other
        j += 5
    while j < len(w):
        p0, q0, w0 = p[j], q[j], w[j]
        for t in range(u.size):
            u[t] += p0 * w0[t]
            v[t] += q0 * w0[t]
        j += 1


@jit
def _expected_entropies(weight_m, belief_k_m, p_r_c_k, out_r):
    """Set `out_r` to ``sum_m weight_m H(sum_k belief_k_m p_r_k)``; of the mixtures, two classes of a tile exist."""
    k, m = belief_k_m.shape
    r, c, _ = p_r_c_k.shape
    u, v, g, h = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE)
    tile, weight = np.zeros((k, TILE), np.float32), np.zeros(TILE)
    out_r[:] = 0.0
    for first in range(0, m, TILE):
        size = min(TILE, m - first)
        weight[size:] = 0.0
        weight[:size] = weight_m[first : first + size]
        for j in range(k):
            tile[j, :size] = belief_k_m[j, first : first + size]
        for i in range(r):
            h[:] = 0.0
            for y in range(0, c, 2):
                _mix(p_r_c_k[i, y], p_r_c_k[i, y + 1], tile, u, v)
                _plogp_of_both(u, v, g)
                _subtract(g, h)
            total = 0.0
            for t in range(TILE):
                total += weight[t] * h[t]
            out_r[i] += total
