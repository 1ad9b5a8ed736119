"""Sums over all pairs of rows, block by block: what coverage, radius graphs and medoids are computed from.

A block is `LANES` rows; the other rows stream past it, four at a time. No array of pairs is larger than that.

Similarities are rounded to whole multiples of ``1 / UNIT``, which float64 holds exactly, and sums of them are integers.
So a sum depends neither on its order nor on blocks or threads, nothing drifts, and rows that gain the same are tied to
the last bit. Squared distances are sums of squared differences in float64, which cancel nowhere; the distance from
one row to another has the same bits from either side, whatever the rows beside them.
"""

import numpy as np
from numba import njit

from querist.kernels.jit import jit

LANES = 64
"""Rows of a block; always as many, padded, so that every pair meets the same code."""

UNIT = 2.0**40
"""What a similarity of 1 counts; a pool may have 2^22 rows before a sum leaves the range of int64."""

COSINE, GAUSSIAN, TOP_HAT, CLOSENESS = range(4)

_FLUSH = 4096  # terms below UNIT that float64 adds up exactly

_strict = njit(nogil=True, fastmath={"contract"})  # sums in the order written, on whatever lane


@_strict
def _gaps(x_N_d, a, b, c, e, lanes_d_m, far, gap_4_m):
    """Fill `gap_4_m` with the squared distances of four rows to a block; False, unfinished, if all are `far` or more.

    The lanes say whether it is done in float32 or float64.
    """
    d, number = x_N_d.shape[1], lanes_d_m.dtype.type
    u, v, w, t = x_N_d[a], x_N_d[b], x_N_d[c], x_N_d[e]
    gap_a, gap_b, gap_c, gap_e = gap_4_m[0], gap_4_m[1], gap_4_m[2], gap_4_m[3]
    gap_4_m[:] = 0.0
    j = 0
    while j + 4 <= d:
        x0, x1, x2, x3 = lanes_d_m[j], lanes_d_m[j + 1], lanes_d_m[j + 2], lanes_d_m[j + 3]
        u0, u1, u2, u3 = number(u[j]), number(u[j + 1]), number(u[j + 2]), number(u[j + 3])
        v0, v1, v2, v3 = number(v[j]), number(v[j + 1]), number(v[j + 2]), number(v[j + 3])
        w0, w1, w2, w3 = number(w[j]), number(w[j + 1]), number(w[j + 2]), number(w[j + 3])
        t0, t1, t2, t3 = number(t[j]), number(t[j + 1]), number(t[j + 2]), number(t[j + 3])
        for i in range(LANES):
            p, q, r, s = x0[i] - u0, x1[i] - u1, x2[i] - u2, x3[i] - u3
            gap_a[i] += p * p + q * q + r * r + s * s
            p, q, r, s = x0[i] - v0, x1[i] - v1, x2[i] - v2, x3[i] - v3
            gap_b[i] += p * p + q * q + r * r + s * s
            p, q, r, s = x0[i] - w0, x1[i] - w1, x2[i] - w2, x3[i] - w3
            gap_c[i] += p * p + q * q + r * r + s * s
            p, q, r, s = x0[i] - t0, x1[i] - t1, x2[i] - t2, x3[i] - t3
            gap_e[i] += p * p + q * q + r * r + s * s
        j += 4
        if j % 32 == 0 and far < np.inf:
            near = 0
            for i in range(LANES):
                near += (gap_a[i] < far) | (gap_b[i] < far) | (gap_c[i] < far) | (gap_e[i] < far)
            if near == 0:
                return False
    while j < d:
        x0 = lanes_d_m[j]
        u0, v0, w0, t0 = number(u[j]), number(v[j]), number(w[j]), number(t[j])
        for i in range(LANES):
            p, q, r, s = x0[i] - u0, x0[i] - v0, x0[i] - w0, x0[i] - t0
            gap_a[i] += p * p
            gap_b[i] += q * q
            gap_c[i] += r * r
            gap_e[i] += s * s
        j += 1
    return True


@_strict
def _similar(gap_m, kind, scale, like_m):
    """Fill `like_m` with the similarities, from 0 to 1, of a block at squared distances `gap_m`."""
    if kind == COSINE:
        for i in range(LANES):
            like_m[i] = max(1.0 - 0.25 * gap_m[i], 0.0)
    elif kind == GAUSSIAN:
        for i in range(LANES):
            # 2^-t by its series around the nearest integer: the library's exponential would not vectorise.
            t = min(gap_m[i] * scale, 60.0)
            whole = np.rint(t)
            f = (whole - t) * 0.6931471805599453
            series = 1 / 5040 + f * (1 / 40320 + f * (1 / 362880 + f * (1 / 3628800 + f / 39916800)))
            series = 1.0 + f * (
                1.0 + f * (1 / 2 + f * (1 / 6 + f * (1 / 24 + f * (1 / 120 + f * (1 / 720 + f * series)))))
            )
            like_m[i] = series / np.float64(np.int64(1) << np.int64(whole))
    elif kind == TOP_HAT:
        for i in range(LANES):
            like_m[i] = 1.0 if gap_m[i] < scale else 0.0
    else:
        for i in range(LANES):
            like_m[i] = max(1.0 - np.sqrt(gap_m[i]) * scale, 0.0)


@_strict
def _pack(x_N_d, rows, first, lanes_d_m):
    """Lay up to `LANES` rows from ``rows[first]`` on side by side; lanes behind them keep what they held."""
    held = min(LANES, len(rows) - first)
    for i in range(held):
        u = x_N_d[rows[first + i]]
        for j in range(x_N_d.shape[1]):
            lanes_d_m[j, i] = u[j]
    return held


@jit
def first_gains(x_N_d, weight_N, best_k_N, kind, scale, far, start, stop, gain_k_N):
    """Add to `gain_k_N` what covering by each row improves, over the pairs of rows ``start..stop`` with later ones.

    ``gain_kc = sum_n max(0, rint(weight_n * k(n, c)) - best_kn)`` when the ranges of all calls together cover all rows;
    `start` is a multiple of `LANES`. Every pair is looked at once for all of the k coverages.
    """
    (N, d), K = x_N_d.shape, len(best_k_N)
    lanes_d_m, gap_4_m, like_m = np.zeros((d, LANES)), np.empty((4, LANES)), np.empty(LANES)
    sum_k_m, best_k_m = np.empty((K, LANES)), np.empty((K, LANES))
    weight_m, other_m, every = np.empty(LANES), np.empty(LANES), np.arange(N)
    for first in range(start, stop, LANES):
        held = _pack(x_N_d, every, first, lanes_d_m)
        weight_m[:], best_k_m[:] = 0.0, 0.0
        weight_m[:held], best_k_m[:, :held] = weight_N[first : first + held], best_k_N[:, first : first + held]
        for part in range(first, N, _FLUSH):
            last = min(part + _FLUSH, N) - 1
            sum_k_m[:] = 0.0
            for c in range(part, last + 1, 4):
                if not _gaps(x_N_d, c, min(c + 1, last), min(c + 2, last), min(c + 3, last), lanes_d_m, far, gap_4_m):
                    continue
                for row in range(c, min(c + 4, last + 1)):
                    _similar(gap_4_m[row - c], kind, scale, like_m)
                    later, weight = row >= first + LANES, weight_N[row]
                    for i in range(LANES):
                        other_m[i] = np.rint(weight * like_m[i])
                        like_m[i] = np.rint(weight_m[i] * like_m[i])
                    for k in range(K):
                        best_m, total = best_k_m[k], 0.0
                        for i in range(LANES):
                            total += max(like_m[i] - best_m[i], 0.0)
                        gain_k_N[k, row] += np.int64(total)
                        if later:
                            best, sum_m = best_k_N[k, row], sum_k_m[k]
                            for i in range(LANES):
                                sum_m[i] += max(other_m[i] - best, 0.0)
            for k in range(K):
                for i in range(held):
                    gain_k_N[k, first + i] += np.int64(sum_k_m[k, i])


@jit
def risen(x_N_d, pick, weight_N, best_N, kind, scale, rows, value):
    """Find the rows that `pick` covers better than `best_N`; fill `rows` and their new `value`, return how many."""
    N, d = x_N_d.shape
    lanes_d_m, gap_4_m, like_m = np.zeros((d, LANES)), np.zeros((4, LANES)), np.empty(LANES)
    y, near_m, maybe = x_N_d[pick], gap_4_m[1], 0
    for first in range(0, N, LANES):
        held = min(LANES, N - first)
        for i in range(held):
            if weight_N[first + i] == 0.0:
                continue
            u, gap = x_N_d[first + i], 0.0
            for j in range(d):
                difference = np.float64(u[j]) - np.float64(y[j])
                gap += difference * difference
            # Summed in another order than in a block, so a little is taken off and the block has the last word.
            near_m[i] = gap * (1 - 1e-9)
        _similar(near_m, kind, scale, like_m)
        for i in range(held):
            weight = weight_N[first + i]
            if weight > 0.0 and weight * like_m[i] + 1.0 > best_N[first + i]:
                rows[maybe] = first + i
                maybe += 1
    count = 0
    for first in range(0, maybe, LANES):
        held = _pack(x_N_d, rows[:maybe], first, lanes_d_m)
        _gaps(x_N_d, pick, pick, pick, pick, lanes_d_m, np.inf, gap_4_m)
        _similar(gap_4_m[0], kind, scale, like_m)
        for i in range(held):
            row = rows[first + i]
            covered = np.rint(weight_N[row] * like_m[i])
            if covered > best_N[row]:
                rows[count], value[count] = row, covered
                count += 1
    return count


@jit
def change(x_N_d, rows, old, new, weight_N, kind, scale, far, gain_N, length, seen, value):
    """Bring `gain_N` up to date after up to `LANES` rows went from `old` to `new` coverage.

    If `seen` and `value`, ``(LANES, room)``, have room, list there for each row which rows would still cover it better,
    and how well; `length` says how many there are, -1 where there are too many.
    """
    N, d = x_N_d.shape
    room = seen.shape[1]
    lanes_d_m, gap_4_m, like_m = np.zeros((d, LANES)), np.empty((4, LANES)), np.empty(LANES)
    weight_m, old_m, new_m, limit_m = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES), np.full(LANES, np.inf)
    held, base, last = _pack(x_N_d, rows, 0, lanes_d_m), 0.0, N - 1
    for i in range(held):
        weight_m[i], old_m[i], new_m[i], limit_m[i] = weight_N[rows[i]], old[i], new[i], new[i]
        base += old[i] - new[i]
        length[i] = 0
    listing = held if room > 0 else 0
    for c in range(0, N, 4):
        if not _gaps(x_N_d, c, min(c + 1, last), min(c + 2, last), min(c + 3, last), lanes_d_m, far, gap_4_m):
            continue  # similarities of 0 move no gain: base and the sum of new - old cancel
        for row in range(c, min(c + 4, N)):
            _similar(gap_4_m[row - c], kind, scale, like_m)
            total = base
            for i in range(LANES):
                like_m[i] = np.rint(weight_m[i] * like_m[i])
                total += max(like_m[i], new_m[i]) - max(like_m[i], old_m[i])
            gain_N[row] += np.int64(total)
            if listing > 0:
                for i in range(LANES):
                    if like_m[i] > limit_m[i]:
                        if length[i] < room:
                            seen[i, length[i]], value[i, length[i]] = row, like_m[i]
                            length[i] += 1
                        else:
                            length[i], limit_m[i] = -1, np.inf
                            listing -= 1


@jit
def walk(rows, old, new, start_N, length_N, seen, value, gain_N):
    """Do as `change` does for rows whose lists are known, and drop from the lists what covers them no better now."""
    for a in range(len(rows)):
        row = rows[a]
        kept = start_N[row]
        for e in range(start_N[row], start_N[row] + length_N[row]):
            gain_N[seen[e]] -= np.int64(min(value[e], new[a]) - old[a])
            if value[e] > new[a]:
                seen[kept], value[kept] = seen[e], value[e]
                kept += 1
        length_N[row] = kept - start_N[row]


@jit
def largest(gain_N, open_N, tie_N):
    """Return the open row of largest gain, ties by smallest `tie_N`; -1 without any."""
    best = -1
    for i in range(len(gain_N)):
        if open_N[i] and (
            best < 0 or gain_N[i] > gain_N[best] or (gain_N[i] == gain_N[best] and tie_N[i] < tie_N[best])
        ):
            best = i
    return best


@jit
def two_best(x_N_d, rows, centres, kind, scale, first_n, second_n, owner_n, other_n):
    """Fill for each of `rows` its largest and second largest similarity to `centres`, and which centres these are.

    The earlier of equally similar centres comes first; without a second its similarity is 0 and its number -1.
    """
    d = x_N_d.shape[1]
    lanes_d_m, gap_4_m, like_m = np.zeros((d, LANES)), np.empty((4, LANES)), np.empty(LANES)
    last = len(centres) - 1
    for start in range(0, len(rows), LANES):
        held = _pack(x_N_d, rows, start, lanes_d_m)
        first_n[start : start + held], second_n[start : start + held] = 0.0, 0.0
        owner_n[start : start + held], other_n[start : start + held] = -1, -1
        for s in range(0, last + 1, 4):
            a, b, c, e = centres[s], centres[min(s + 1, last)], centres[min(s + 2, last)], centres[min(s + 3, last)]
            _gaps(x_N_d, a, b, c, e, lanes_d_m, np.inf, gap_4_m)
            for centre in range(s, min(s + 4, last + 1)):
                _similar(gap_4_m[centre - s], kind, scale, like_m)
                for i in range(held):
                    n, value = start + i, np.rint(UNIT * like_m[i])
                    if owner_n[n] < 0 or value > first_n[n]:
                        second_n[n], other_n[n] = first_n[n], owner_n[n]
                        first_n[n], owner_n[n] = value, centre
                    elif other_n[n] < 0 or value > second_n[n]:
                        second_n[n], other_n[n] = value, centre


@jit
def losses(x_N_d, rows, first_n, second_n, kind, scale, far, loss_N):
    """Add to `loss_N` what `rows` lose if their centre gives way to a row: ``first - clip(k, second, first)``."""
    N, d = x_N_d.shape
    lanes_d_m, gap_4_m, like_m = np.zeros((d, LANES)), np.empty((4, LANES)), np.empty(LANES)
    first_m, second_m, last = np.empty(LANES), np.empty(LANES), N - 1
    for start in range(0, len(rows), LANES):
        held = _pack(x_N_d, rows, start, lanes_d_m)
        first_m[:], second_m[:] = 0.0, 0.0
        first_m[:held], second_m[:held] = first_n[start : start + held], second_n[start : start + held]
        apart = np.int64((first_m - second_m).sum())
        for c in range(0, N, 4):
            if not _gaps(x_N_d, c, min(c + 1, last), min(c + 2, last), min(c + 3, last), lanes_d_m, far, gap_4_m):
                loss_N[c : min(c + 4, N)] += apart
                continue
            for row in range(c, min(c + 4, N)):
                _similar(gap_4_m[row - c], kind, scale, like_m)
                total = 0.0
                for i in range(LANES):
                    total += first_m[i] - min(max(np.rint(UNIT * like_m[i]), second_m[i]), first_m[i])
                loss_N[row] += np.int64(total)


@jit
def nearest_others(x_N_d, rows, label_N, gap_n):
    """Fill `gap_n` with the squared distance of each of `rows` to the nearest row of another label; inf without any."""
    N, d = x_N_d.shape
    lanes_d_m, gap_4_m, least_m, last = np.zeros((d, LANES)), np.empty((4, LANES)), np.empty(LANES), N - 1
    label_m = np.empty(LANES, np.int64)
    for start in range(0, len(rows), LANES):
        held = _pack(x_N_d, rows, start, lanes_d_m)
        least_m[:] = np.inf
        for i in range(held):
            label_m[i] = label_N[rows[start + i]]
        for c in range(0, N, 4):
            _gaps(x_N_d, c, min(c + 1, last), min(c + 2, last), min(c + 3, last), lanes_d_m, np.inf, gap_4_m)
            for row in range(c, min(c + 4, N)):
                label, gap_m = label_N[row], gap_4_m[row - c]
                for i in range(LANES):
                    if label_m[i] != label and gap_m[i] < least_m[i]:
                        least_m[i] = gap_m[i]
        gap_n[start : start + held] = least_m[:held]


@jit
def close_pairs(x_N_d, limit, start, stop, at, one, other):
    """List pairs of rows whose squared distance is below `limit`; one of each is in ``start..stop``, the other later.

    Blocks are in the points' own precision, twice as quick in float32; what comes near the limit is looked at again.

    Returns how many pairs were written to `one` and `other`, and the `start` and `at` to go on from when they are full:
    `start` is `stop` at the end. They hold ``4 * LANES`` pairs at least; `start` is a multiple of `LANES`.
    """
    N, d = x_N_d.shape
    number, last = x_N_d.dtype.type, N - 1
    lanes_d_m, gap_4_m = np.zeros((d, LANES), x_N_d.dtype), np.empty((4, LANES), x_N_d.dtype)
    # All terms are positive, so d + 8 roundings bound the error in proportion to the sum.
    slack = (d + 8) * np.float64(np.finfo(x_N_d.dtype).eps)
    below, above = number(limit * (1 - slack)), number(limit * (1 + slack))
    every, count = np.arange(N), 0
    for first in range(start, stop, LANES):
        held = _pack(x_N_d, every, first, lanes_d_m)
        for c in range(max(at, first), N, 4):
            if count + 4 * LANES > len(one):
                return count, first, c
            if not _gaps(x_N_d, c, min(c + 1, last), min(c + 2, last), min(c + 3, last), lanes_d_m, above, gap_4_m):
                continue
            for row in range(c, min(c + 4, N)):
                gap_m, near = gap_4_m[row - c], 0
                for i in range(LANES):
                    near += gap_m[i] < above
                if near == 0:
                    continue
                for i in range(min(held, row - first)):
                    if gap_m[i] < above and (gap_m[i] < below or _gap(x_N_d[first + i], x_N_d[row]) < limit):
                        one[count], other[count] = first + i, row
                        count += 1
        at = 0
    return count, stop, 0


@_strict
def _gap(u, v):
    total = 0.0
    for j in range(len(u)):
        difference = np.float64(u[j]) - np.float64(v[j])
        total += difference * difference
    return total
