"""Multinomial logistic regression: the optimum of one small problem, fast, on one thread."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from querist.arrays import Array, Labels, require_finite
from querist.errors import DataError, FitError
from querist.kernels.jit import jit

LIMIT = 10_000
"""Steps after which the solver gives up; ordinary problems take 10 to 60."""
DECREMENT = 1e-13
"""It stops at this squared Newton decrement; coefficients are then within about 1e-7 of the optimum."""
MEMORY = 4
"""Pairs of the quasi-Newton model."""
CURVATURE = 0.7
"""Of the curvature at equal probabilities, where the model is not exact; measured, flat between 0.5 and 1."""
REFRESH = 5
"""Step at which the exact part of the model is first taken anew; then at six times that step, and so on."""


class LinearHead(NamedTuple):
    """A linear classifier over all declared classes."""

    coef: Array
    """``(c, d)`` float64, zero for a class that had no label."""
    intercept: Array
    """``(c,)`` float64, minus infinity for a class that had no label."""
    steps: int
    """How many steps the solver took."""


def fit_logistic(x_l_d: Array, y_l: Labels, c: int, penalty: float) -> LinearHead:
    """Return the minimiser of ``C * (sum of cross-entropies) + |W|^2 / 2``, intercepts not penalised.

    This is the objective of scikit-learn's ``LogisticRegression(C=penalty)``, also in its binary case: the penalty
    ``|w|^2 / 2`` on the difference of two classes is that of the multinomial form at ``C / 2``, where
    ``w_1 = -w_0 = w / 2``. Two seen classes are therefore solved at ``C / 2``.

    A class without labels has no finite optimum: its intercept falls without bound and its coefficients to zero. In
    that limit its probability is exactly 0, and the others minimise the objective of the seen classes alone. The limit
    is what is returned. A class that is the only one seen has probability 1.

    The objective has a curvature of at least 1 in every coefficient, so the coefficients are no further from the
    optimum than the norm of the final gradient, and that is checked.

    Args:
        x_l_d: ``(l, d)`` features, ``l >= 1``; computed with in float64.
        y_l: ``(l,)`` class numbers in ``0..c-1``.
        c: number of declared classes.
        penalty: the inverse strength ``C`` of the penalty, positive.

    Raises:
        DataError: no rows, rows that are not finite, or labels that do not fit.
        FitError: the optimum was not reached.

    Source: L-BFGS (Liu & Nocedal, Mathematical Programming 1989), preconditioned by the true curvature along the
    leading principal directions and the intercepts and by a multiple of the Gram matrix on the rest (cf. Böhning, Annals
    of the Institute of Statistical Mathematics 1992).
    """
    if x_l_d.ndim != 2 or len(x_l_d) == 0 or np.shape(y_l) != x_l_d.shape[:1]:
        raise DataError(f"Expected a label for each of at least one row, got {np.shape(y_l)} for rows {x_l_d.shape}.")
    if not (0.0 < penalty < math.inf):
        raise DataError(f"Expected the inverse penalty C to be positive and finite, got {penalty}.")
    if y_l.min() < 0 or y_l.max() >= c:
        raise DataError(f"Expected labels in 0..{c - 1}, got {y_l.min()} to {y_l.max()}.")
    require_finite(x_l_d, "features of the labelled rows")
    (l, d), seen = x_l_d.shape, np.flatnonzero(np.bincount(y_l, minlength=c))
    coef, intercept = np.zeros((c, d)), np.full(c, -np.inf)
    intercept[seen] = 0.0
    if len(seen) == 1:
        return LinearHead(coef, intercept, 0)
    number = np.zeros(c, dtype=np.int64)
    number[seen] = np.arange(len(seen))
    # Rows and columns of zeros change nothing, and a whole number of vector registers is up to twice as fast.
    x = np.zeros((-(-l // 8) * 8, -(-d // 8) * 8))
    x[:l, :d] = x_l_d
    w, intercept[seen], gradient, steps = _solve(x, number[y_l], len(seen), penalty / 2 if len(seen) == 2 else penalty)
    coef[seen] = w[:, :d]
    # Rounding alone leaves a gradient of about C * l * 1e-16.
    if not gradient <= max(1e-5, 1e-12 * penalty * l):
        raise FitError(
            f"logistic regression on {l} labels of {len(seen)} classes with C = {penalty:g} is not at its optimum after "
            f"{steps} steps (gradient {gradient:.2g}). Look for features of very different scales, or lower C."
        )
    return LinearHead(coef, intercept, steps)


@njit(nogil=True, fastmath={"contract", "reassoc"})
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(nogil=True, fastmath={"contract"})
def _add(out, scale, b):
    for i in range(out.size):
        out[i] += scale * b[i]


@njit(nogil=True, fastmath={"contract"})
def _shift(a, scale, b, out):
    # Apart from `_add`, because an output that may be an input keeps the loop from being vectorised.
    for i in range(a.size):
        out[i] = a[i] + scale * b[i]


@njit(nogil=True, fastmath={"contract", "reassoc"})
def _times(a, b, out, upper=False):
    """``out = a @ b.T``, or only what is on and above the diagonal; what is below is then undefined.

    Eight sums at a time stay in registers and every operand is read along its rows: on operands this small, twice the
    speed of a matrix library. A number of rows that is not a multiple repeats the last one.
    """
    m, n = out.shape
    for t in range(0, n, 2):
        t1 = min(t + 1, n - 1)
        p, q = b[t], b[t1]
        for i in range(0, min(m, t + 2) if upper else m, 4):
            i1, i2, i3 = min(i + 1, m - 1), min(i + 2, m - 1), min(i + 3, m - 1)
            x, y, z, w = a[i], a[i1], a[i2], a[i3]
            xp = yp = zp = wp = xq = yq = zq = wq = 0.0
            for j in range(p.size):
                xp += x[j] * p[j]
                yp += y[j] * p[j]
                zp += z[j] * p[j]
                wp += w[j] * p[j]
                xq += x[j] * q[j]
                yq += y[j] * q[j]
                zq += z[j] * q[j]
                wq += w[j] * q[j]
            out[i, t], out[i1, t], out[i2, t], out[i3, t] = xp, yp, zp, wp
            out[i, t1], out[i1, t1], out[i2, t1], out[i3, t1] = xq, yq, zq, wq


@njit(nogil=True, fastmath={"contract"})
def _accumulate(u, v, p, q, b, left, first, last):
    """Add to `u` and `v` the sums of ``p[j] * b[j]`` and ``q[j] * b[j]``, j from `first` to before `last`.

    The columns of `b` are taken from `left` on.
    """
    n = u.size
    j = first
    while j + 4 <= last:
        p0, p1, p2, p3 = p[j], p[j + 1], p[j + 2], p[j + 3]
        q0, q1, q2, q3 = q[j], q[j + 1], q[j + 2], q[j + 3]
        b0, b1, b2, b3 = b[j, left:], b[j + 1, left:], b[j + 2, left:], b[j + 3, left:]
        for t in range(n):
            u[t] += p0 * b0[t] + p1 * b1[t] + p2 * b2[t] + p3 * b3[t]
            v[t] += q0 * b0[t] + q1 * b1[t] + q2 * b2[t] + q3 * b3[t]
        j += 4
    while j < last:
        p0, q0, b0 = p[j], q[j], b[j, left:]
        for t in range(n):
            u[t] += p0 * b0[t]
            v[t] += q0 * b0[t]
        j += 1


@njit(nogil=True)
def _combine(a, b, out):
    """``out = a @ b``, where `a` has few columns or it is done once."""
    m, n = out.shape
    spare = np.empty(n)
    for i in range(0, m, 2):
        p, u = a[i], out[i]
        q, v = (a[i + 1], out[i + 1]) if i + 1 < m else (p, spare)
        u[:] = 0.0
        v[:] = 0.0
        _accumulate(u, v, p, q, b, 0, 0, len(b))


@njit(nogil=True)
def _turned(a):
    """The transpose, with rows that are contiguous."""
    out = np.empty((a.shape[1], a.shape[0]))
    for i in range(a.shape[0]):
        for t in range(a.shape[1]):
            out[t, i] = a[i, t]
    return out


@njit(nogil=True, fastmath={"contract"})
def _invert(m):
    """Replace a positive definite matrix, of which the upper triangle is read, by its inverse (by Cholesky's factor).

    Spans of columns are widened to whole vector registers; what this adds is zero or below the diagonal.
    """
    n = len(m)
    wide = (n + 8) // 8 * 8
    lower = np.zeros((wide, wide))  # the inverse factor
    p, q, spare = np.zeros(n), np.zeros(n), np.zeros(wide)
    for k in range(0, n, 2):
        two = k + 1 < n
        for j in range(k):
            p[j] = -m[j, k]
            q[j] = -m[j, k + 1] if two else 0.0
        a, b = m[k], m[k + 1] if two else spare[:n]
        left = k // 8 * 8
        _accumulate(a[left:], b[left:], p, q, m, left, 0, k)
        x, y = lower[k], lower[k + 1]
        _accumulate(x[: left + 8], y[: left + 8], p, q, lower, 0, 0, k)
        scale = 1.0 / math.sqrt(a[k])
        x[k] = 1.0
        for t in range(left, n):
            a[t] *= scale
        for t in range(left + 8):
            x[t] *= scale
        if two:
            cross = a[k + 1]
            _add(b[left:], -cross, a[left:])
            _add(y[: left + 8], -cross, x[: left + 8])
            scale = 1.0 / math.sqrt(b[k + 1])
            y[k + 1] = 1.0
            for t in range(left, n):
                b[t] *= scale
            for t in range(left + 8):
                y[t] *= scale
    for i in range(0, n, 2):
        two = i + 1 < n
        for j in range(i, n):
            p[j] = lower[j, i]
            q[j] = lower[j, i + 1]
        right = min(n, i // 8 * 8 + 8)
        u, v = m[i, :right], m[i + 1, :right] if two else spare[:right]
        u[:] = 0.0
        v[:] = 0.0
        _accumulate(u, v, p, q, lower, 0, i, n)
        for t in range(i):
            m[t, i] = u[t]
            if two:
                m[t, i + 1] = v[t]
        if two:
            m[i, i + 1] = v[i]


@njit(inline="always")
def _exp(x):
    """e^x for x <= 0 to the last bit or two. Free of branches, so it is vectorised: six times the library's speed."""
    x = max(x, -700.0)
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6
    p = 1.0 / 479001600
    for factorial in (39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0):
        p = p * r + 1.0 / factorial
    return p * np.int64((np.int64(n) + 1023) << 52).view(np.float64)


@njit(nogil=True, fastmath={"contract"})
def _residual(z, y, r, top, total):
    """Set `r` to the softmax of the logits `z`, both (c, m), minus the one-hot labels `y` (l,); return the loss.

    Columns from l on are padding and become zero.
    """
    c, m = z.shape
    top[:] = -np.inf
    for k in range(c):
        zk = z[k]
        for i in range(m):
            top[i] = max(top[i], zk[i])
    total[:] = 0.0
    for k in range(c):
        zk, rk = z[k], r[k]
        for i in range(m):
            e = _exp(zk[i] - top[i])
            rk[i] = e
            total[i] += e
    loss = 0.0
    for i in range(y.size):
        loss += math.log(total[i]) + top[i] - z[y[i], i]
        total[i] = 1.0 / total[i]
    total[y.size :] = 0.0
    for k in range(c):
        rk = r[k]
        for i in range(m):
            rk[i] *= total[i]
    for i in range(y.size):
        r[y[i], i] -= 1.0
    return loss


@njit(nogil=True, fastmath={"contract"})
def _normalise(v):
    """Make the rows of `v` orthonormal in place; a row that depends on earlier ones becomes zero."""
    for j in range(len(v)):
        before = math.sqrt(_dot(v[j], v[j]))
        for _ in range(2):  # once loses orthogonality to rounding
            for i in range(j):
                _add(v[j], -_dot(v[i], v[j]), v[i])
        after = math.sqrt(_dot(v[j], v[j]))
        scale = 1.0 / after if after > 1e-9 * before else 0.0
        for t in range(v.shape[1]):
            v[j, t] *= scale


@njit(nogil=True, fastmath={"contract"})
def _leading(x, r):
    """Return ``(r, d)`` orthonormal rows near the leading principal directions of the rows of `x`."""
    v, projected = np.zeros((r, x.shape[1])), np.empty((r, len(x)))
    for i in range(len(x) if r else 0):
        _add(v[i % r], 1.0, x[i])
    for _ in range(2):
        _normalise(v)
        _times(v, x, projected)
        _combine(projected, x, v)
    _normalise(v)
    return v


@njit(nogil=True, fastmath={"contract"})
def _first_curvature(zt, C, c, out):
    """Set `out` to what `_curvature` would at equal probabilities: the same small matrix for every class."""
    q = len(zt)
    small = np.empty((q, q))
    for a in range(q):
        for b in range(q):
            small[a, b] = C / c * _dot(zt[a], zt[b]) + (1.0 if a == b and a < q - 1 else 0.0)
    _invert(small)
    out[:] = 0.0
    for k in range(c):
        for a in range(q):
            for b in range(q):
                out[k * q + a, k * q + b] = small[a, b]


@njit(nogil=True, fastmath={"contract"})
def _curvature(r, y, zt, C, out):
    """Set `out`, index class * len(zt) + direction, to the inverse Hessian in the coordinates `zt`, intercept last."""
    c, m = r.shape
    q = len(zt)
    w, v = np.empty(m), np.empty(m)
    for i in range(y.size):
        r[y[i], i] += 1.0
    for k in range(c):
        for j in range(k, c):
            for i in range(m):
                w[i] = C * r[k, i] * ((1.0 if k == j else 0.0) - r[j, i])
            for a in range(q):
                za = zt[a]
                for i in range(m):
                    v[i] = w[i] * za[i]
                for b in range(a, q):
                    value = _dot(v, zt[b])
                    out[k * q + a, j * q + b] = value
                    out[k * q + b, j * q + a] = value
            # A constant added to every intercept changes nothing; this gives that direction a curvature.
            out[k * q + q - 1, j * q + q - 1] += C / c
        for a in range(q - 1):
            out[k * q + a, k * q + a] += 1.0
    for i in range(y.size):
        r[y[i], i] -= 1.0
    _invert(out)


@njit(nogil=True, fastmath={"contract"})
def _rest(x, zt, v, s):
    """Return what the leading directions leave of `x`, and what models the inverse of its curvature.

    The latter is ``(s K + I)^-1`` of shape (m, m), or if rows abound the factor ``(s X'X + I)^-1 X'`` of shape (d, m).
    """
    m, d = x.shape
    rest = np.empty((m, d))
    _combine(_turned(zt[:-1]), v, rest)
    for i in range(m):
        for t in range(d):
            rest[i, t] = x[i, t] - rest[i, t]
    by_rows = 4 * m <= 7 * d  # measured
    a = rest if by_rows else _turned(rest)
    inverse = np.empty((len(a), len(a)))
    _times(a, a, inverse, True)
    for i in range(len(inverse)):
        for j in range(i, len(inverse)):
            inverse[i, j] *= s
        inverse[i, i] += 1.0
    _invert(inverse)
    if by_rows:
        return rest, inverse
    factor = np.empty((d, m))
    _times(inverse, rest, factor)
    return rest, factor


@njit(nogil=True, fastmath={"contract"})
def _apply(g, rest, model, s, a, f):
    """Set ``a = (s K + I)^-1 g`` and the logits ``f = K a = (g - a) / s``, all (c, m)."""
    c, m = g.shape
    if len(model) == m:
        _times(g, model, a)
        for k in range(c):
            gk, ak, fk = g[k], a[k], f[k]
            for i in range(m):
                fk[i] = (1.0 / s) * (gk[i] - ak[i])
    else:
        part = np.empty((c, len(model)))
        _times(g, model, part)
        _times(part, rest, f)
        for k in range(c):
            gk, ak, fk = g[k], a[k], f[k]
            for i in range(m):
                ak[i] = gk[i] - s * fk[i]


@njit(nogil=True, fastmath={"contract"})
def _gradient(r, a, u, zt, C, h):
    """Set `h` to the gradient: of each row's logits first, then of the exact coordinates `u`."""
    c, m = r.shape
    q = len(zt)
    for k in range(c):
        rk, hk, ak = r[k], h[k * m : (k + 1) * m], a[k]
        for i in range(m):
            hk[i] = C * rk[i] + ak[i]
        for j in range(q):
            h[c * m + k * q + j] = C * _dot(rk, zt[j]) + (u[k, j] if j < q - 1 else 0.0)


@jit
def _solve(x, y, c, C):
    """Return coefficients (c, d), intercepts, the norm of the gradient there and the number of steps.

    The logits are ``F = U Z + A K``: Z (q, m) holds the coordinates of the rows along the leading directions and a row
    of ones, K (m, m) the Gram matrix of what these directions leave of the rows. In the pairing of logits with
    residuals R the gradient of the second part is ``C R + A``: it costs no product, nor do the logits of a step (see
    `_apply`), nor a line search. That leaves one product with (m, m) per step.
    """
    m, d = x.shape
    q = int(2.0 * (c * len(y) * min(len(y), d)) ** (1 / 3) / c)  # measured: many directions pay off on large problems
    q = max(1, min(q, d + 1, len(y) + 1))
    n, full = c * m, c * m + c * q
    s = CURVATURE * C / c
    v = _leading(x, q - 1)
    zt = np.zeros((q, m))
    _times(v, x, zt[:-1])
    zt[-1, : len(y)] = 1.0
    rest, model = _rest(x, zt, v, s)
    exact = np.empty((c * q, c * q))
    _first_curvature(zt, C, c, exact)

    steps, changes, spans = np.zeros((MEMORY, full)), np.zeros((MEMORY, full)), np.zeros((MEMORY, n))
    rho, alpha = np.zeros(MEMORY), np.zeros(MEMORY)
    F, A, U = np.zeros((c, m)), np.zeros((c, m)), np.zeros((c, q))
    z, r, move, a, u = np.empty((c, m)), np.empty((c, m)), np.empty((c, m)), np.empty((c, m)), np.empty((c, q))
    top, total = np.empty(m), np.empty(m)
    h, h_new, g, f = np.empty(full), np.empty(full), np.empty(full), np.empty(full)
    F_, A_, U_, z_, move_, a_ = F.ravel(), A.ravel(), U.ravel(), z.ravel(), move.ravel(), a.ravel()
    g_rows, f_rows, f_, fu = g[:n].reshape(c, m), f[:n].reshape(c, m), f[:n], f[n:].reshape(c, q)
    loss, squares = C * _residual(F, y, r, top, total), 0.0
    _gradient(r, A, U, zt, C, h)
    step, refresh = 0, REFRESH
    while step < LIMIT:
        if step == refresh:
            _curvature(r, y, zt, C, exact)
            refresh *= 6
        known = min(step, MEMORY)
        _shift(h, 0.0, h, g)
        for j in range(known):
            o = (step - 1 - j) % MEMORY
            alpha[o] = rho[o] * _dot(steps[o], g)
            _add(g, -alpha[o], changes[o])
        _apply(g_rows, rest, model, s, a, f_rows)
        _times(g[n:].reshape(1, c * q), exact, f[n:].reshape(1, c * q))
        for j in range(known):
            o = (step - known + j) % MEMORY
            alpha[o] -= rho[o] * _dot(changes[o], f)
            _add(f, alpha[o], steps[o])
            _add(a_, alpha[o], spans[o])
        slope = -_dot(h, f)
        if not slope < -DECREMENT:
            break

        _combine(fu, zt, move)
        _add(move_, 1.0, f_)
        cross, square = _dot(A_, f_), _dot(a_, f_)
        t, new, low, low_slope, high, high_slope = 1.0, loss, 0.0, slope, 0.0, 0.0
        for _ in range(50):
            _shift(F_, -t, move_, z_)
            _shift(U_, -t, f[n:], u.ravel())
            ridge = squares + t * (t * square - 2.0 * cross)
            for k in range(c):
                ridge += _dot(u[k, :-1], u[k, :-1])
            new = C * _residual(z, y, r, top, total) + 0.5 * ridge
            _gradient(r, A, u, zt, C, h_new)
            _add(h_new[:n], -t, a_)
            now = -_dot(h_new, f)
            # Near the optimum the loss is all rounding, so a rise within it is no reason to search on.
            if abs(now) <= 0.9 * abs(slope) and (now <= 0.0 or new <= loss + 1e-10 * abs(loss)):
                break
            if now > 0.0:
                high, high_slope = t, now
            else:
                low, low_slope = t, now
            if high > 0.0:
                t = low + (high - low) * low_slope / (low_slope - high_slope)
            else:
                t *= min(10.0, slope / (slope - now)) if now > slope else 10.0

        o = step % MEMORY
        for i in range(full):
            steps[o, i] = -t * f[i]
            changes[o, i] = h_new[i] - h[i]
        for i in range(n):
            spans[o, i] = -t * a_[i]
        rho[o] = 1.0 / _dot(steps[o], changes[o])
        squares += t * (t * square - 2.0 * cross)
        loss = new
        _add(F_, -t, move_)
        _add(U_, -t, f[n:])
        _add(A_, -t, a_)
        _add(h, 1.0, changes[o])
        step += 1

    w, part, b = np.empty((c, d)), np.empty((c, d)), np.empty(c)
    _combine(_turned(_turned(U)[:-1]), v, w)
    _combine(A, rest, part)
    for k in range(c):
        _add(w[k], 1.0, part[k])
        b[k] = U[k, -1]
    # The gradient is taken from the answer alone, so no error of the bookkeeping above can hide.
    _times(w, x, z)
    for k in range(c):
        z[k] += b[k]
    _residual(z, y, r, top, total)
    _combine(r, x, part)
    squares = 0.0
    for k in range(c):
        _add(w[k], C, part[k])
        squares += _dot(w[k], w[k]) + (C * _dot(r[k], zt[-1])) ** 2
        _add(w[k], -C, part[k])
    return w, b, math.sqrt(squares), step
