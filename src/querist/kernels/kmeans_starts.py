"""Starts of k-means: greedy k-means++ on part of the rows, along their leading principal axes where there are many."""

import numpy as np

from querist.arrays import Array
from querist.kernels.inner import scores
from querist.kernels.jit import dense, jit
from querist.kernels.pca import principal_axes

SEEDED_ON = 10_000
"""Starts are sought among this many rows, or five per cluster if that is more."""

AXES = 64
"""With more than twice as many columns, starts are sought along so many principal axes of the rows."""

LANES = 64
"""Rows of a block that is measured at a time."""


def starts(x_N_d: Array, k: int, generator: np.random.Generator, weight_N: Array | None = None) -> Array:
    """Return `k` rows to start from, ``(k, d)`` float64: greedy k-means++ with 2 + ln k candidates per centre.

    Arthur & Vassilvitskii, SODA 2007. Of a large pool a random part is looked at, and of wide rows their leading
    principal axes, in which squared distances are a little smaller. Rows with weights are drawn in proportion to
    weight times squared distance, and those of weight 0 never; at least one weighs more than that.
    """
    rows_N = np.arange(len(x_N_d)) if weight_N is None else np.flatnonzero(weight_N)
    m = max(SEEDED_ON, 5 * k)
    if m < len(rows_N):
        rows_N = rows_N[np.sort(generator.choice(len(rows_N), m, replace=False))]
    part = dense(x_N_d if len(rows_N) == len(x_N_d) else x_N_d[rows_N])
    weight_m = np.ones(len(part)) if weight_N is None else weight_N[rows_N]
    rows = np.empty(k, np.intp)
    wide = x_N_d.shape[1] > 2 * AXES
    _seed(_leading(part) if wide else part, weight_m, generator.random((k, 2 + int(np.log(k)))), rows)
    return part[rows].astype(np.float64)


def _leading(x_m_d: Array) -> Array:
    """Return the rows along their leading axes, in their own precision; equal rows stay equal to the last bit."""
    m, d = x_m_d.shape
    _, axes_d_a = principal_axes(lambda: [x_m_d], m, d, min(AXES, m))
    along_m_a = scores(x_m_d, axes_d_a.T)
    return dense((along_m_a - along_m_a.mean(axis=0)).astype(x_m_d.dtype))


@jit
def _gaps(lanes_d_m, x_q_d, gap_q_m):
    """Fill `gap_q_m` with the squared distances of a block to some rows."""
    d = len(lanes_d_m)
    gap_q_m[:] = 0
    j = 0
    while j + 8 <= d:
        x0, x1, x2, x3 = lanes_d_m[j], lanes_d_m[j + 1], lanes_d_m[j + 2], lanes_d_m[j + 3]
        x4, x5, x6, x7 = lanes_d_m[j + 4], lanes_d_m[j + 5], lanes_d_m[j + 6], lanes_d_m[j + 7]
        for c in range(len(x_q_d)):
            u, gap_m = x_q_d[c], gap_q_m[c]
            u0, u1, u2, u3, u4, u5, u6, u7 = u[j], u[j + 1], u[j + 2], u[j + 3], u[j + 4], u[j + 5], u[j + 6], u[j + 7]
            for i in range(LANES):
                p, q, r, s = x0[i] - u0, x1[i] - u1, x2[i] - u2, x3[i] - u3
                near = p * p + q * q + r * r + s * s
                p, q, r, s = x4[i] - u4, x5[i] - u5, x6[i] - u6, x7[i] - u7
                gap_m[i] += near + p * p + q * q + r * r + s * s
        j += 8
    while j < d:
        x0 = lanes_d_m[j]
        for c in range(len(x_q_d)):
            u0, gap_m = x_q_d[c, j], gap_q_m[c]
            for i in range(LANES):
                difference = x0[i] - u0
                gap_m[i] += difference * difference
        j += 1


@jit
def _seed(x_m_d, weight_m, uniform_k_q, rows):
    """Fill `rows` by greedy k-means++: of q rows drawn in proportion to D^2, keep the one that lowers it most.

    All candidates of a step are measured in one pass over the rows. Distances are differences in the rows' own
    precision: quick, and exactly 0 between duplicates.
    """
    m, d = x_m_d.shape
    k, q = uniform_k_q.shape
    blocks = (m + LANES - 1) // LANES
    lanes_b_d_m = np.zeros((blocks, d, LANES), x_m_d.dtype)
    for i in range(m):
        for j in range(d):
            lanes_b_d_m[i // LANES, j, i % LANES] = x_m_d[i, j]
    near_m = np.full(blocks * LANES, np.inf)
    near_m[m:] = 0.0
    counted_m = np.zeros(blocks * LANES)
    counted_m[:m] = weight_m
    cumulated_m, tried_q_m, gap_q_m = np.empty(m), np.empty((q, len(near_m))), np.empty((q, LANES), x_m_d.dtype)
    row_q, candidate_q_d, potential_q = np.empty(q, np.intp), np.empty((q, d), x_m_d.dtype), np.empty(q)
    for step in range(k):
        total, tried = 0.0, q if step > 0 else 1
        for i in range(m):
            total += weight_m[i] * (1.0 if step == 0 else near_m[i])
            cumulated_m[i] = total
        for c in range(tried):
            row_q[c] = min(np.searchsorted(cumulated_m, uniform_k_q[step, c] * total, side="right"), m - 1)
            candidate_q_d[c] = x_m_d[row_q[c]]
        potential_q[:] = 0.0
        for b in range(blocks):
            _gaps(lanes_b_d_m[b], candidate_q_d[:tried], gap_q_m[:tried])
            before_m, times_m = near_m[b * LANES : (b + 1) * LANES], counted_m[b * LANES : (b + 1) * LANES]
            for c in range(tried):
                gap_m, tried_m, potential = gap_q_m[c], tried_q_m[c, b * LANES : (b + 1) * LANES], 0.0
                for i in range(LANES):
                    tried_m[i] = min(before_m[i], np.float64(gap_m[i]))
                    potential += times_m[i] * tried_m[i]
                potential_q[c] += potential
        best = potential_q[:tried].argmin()
        rows[step] = row_q[best]
        near_m[:] = tried_q_m[best]
