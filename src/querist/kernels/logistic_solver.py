"""The compiled solver behind `querist.kernels.logistic`, in one file as the cache of compiled code wants it."""

import math

import numpy as np
from numba import njit

from querist.kernels.jit import jit

LIMIT = 10_000  # steps; ordinary problems take 10 to 60
DECREMENT = 1e-15  # squared Newton decrement to stop at; coefficients are then within about 1e-7 of the optimum
MEMORY = 5  # pairs of the quasi-Newton model
CURVATURE = 0.7  # of that at equal probabilities, where the model is not exact; measured, flat between 0.5 and 1
LONGEST = 1.9  # what of A no logit shows shrinks by 1 - t in a step of length t, so 2 and more would let it grow
REFRESH = 5  # step at which the exact part of the model is first taken anew; then at six times that step, and so on

_plain = njit(nogil=True, error_model="numpy", fastmath={"contract"})
_reordered = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})


@_reordered
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@_plain
def _add(out, scale, b):
    for i in range(out.size):
        out[i] += scale * b[i]


@_plain
def _shift(a, scale, b, out):
    # Apart from `_add`, because an output that may be an input keeps the loop from being vectorised.
    for i in range(a.size):
        out[i] = a[i] + scale * b[i]


@_reordered
def _times(a, b, out, upper):
    """``out = a @ b.T``, or only what is on and above the diagonal; what is below is then undefined.

    Ten sums at a time stay in registers and every operand is read along its rows: on operands this small, twice the
    speed of a matrix library. A number of rows that is not a multiple repeats the last one.
    """
    m, n = out.shape
    for t in range(0, n, 2):
        t1 = min(t + 1, n - 1)
        p, q = b[t], b[t1]
        for i in range(0, min(m, t + 2) if upper else m, 5):
            i1, i2, i3, i4 = min(i + 1, m - 1), min(i + 2, m - 1), min(i + 3, m - 1), min(i + 4, m - 1)
            v, w, x, y, z = a[i], a[i1], a[i2], a[i3], a[i4]
            vp = wp = xp = yp = zp = vq = wq = xq = yq = zq = 0.0
            for j in range(p.size):
                vp += v[j] * p[j]
                wp += w[j] * p[j]
                xp += x[j] * p[j]
                yp += y[j] * p[j]
                zp += z[j] * p[j]
                vq += v[j] * q[j]
                wq += w[j] * q[j]
                xq += x[j] * q[j]
                yq += y[j] * q[j]
                zq += z[j] * q[j]
            out[i, t], out[i1, t], out[i2, t], out[i3, t], out[i4, t] = vp, wp, xp, yp, zp
            out[i, t1], out[i1, t1], out[i2, t1], out[i3, t1], out[i4, t1] = vq, wq, xq, yq, zq


@_plain
def _add_rows(out, sign, weights, rows, left, first, last):
    """Add ``sign * weights[j] * rows[j]`` to `out`, j from `first` to before `last`, columns of `rows` from `left`."""
    n, j = out.size, first
    while j + 4 <= last:
        w0, w1, w2, w3 = sign * weights[j], sign * weights[j + 1], sign * weights[j + 2], sign * weights[j + 3]
        r0, r1, r2, r3 = rows[j, left:], rows[j + 1, left:], rows[j + 2, left:], rows[j + 3, left:]
        for t in range(n):
            out[t] += w0 * r0[t] + w1 * r1[t] + w2 * r2[t] + w3 * r3[t]
        j += 4
    while j < last:
        _add(out, sign * weights[j], rows[j, left : left + n])
        j += 1


@_plain
def _invert(m):
    """Replace a positive definite matrix, of which the upper triangle is read, by its inverse, by Cholesky's factor."""
    n = len(m)
    # Spans of columns are widened to whole vector registers; what this adds is zero or below the diagonal.
    wide = (n + 7) // 8 * 8
    lower = np.zeros((n, wide))  # the inverse factor
    for k in range(n):
        left = k // 8 * 8
        row, inverse = m[k, left:], lower[k, : left + 8]
        _add_rows(row, -1.0, m[:, k], m, left, 0, k)
        _add_rows(inverse, -1.0, m[:, k], lower, 0, 0, k)
        inverse[k] = 1.0
        scale = 1.0 / math.sqrt(m[k, k])
        for t in range(row.size):
            row[t] *= scale
        for t in range(inverse.size):
            inverse[t] *= scale
    for i in range(n):
        row = m[i, : min(n, i // 8 * 8 + 8)]
        row[:] = 0.0
        _add_rows(row, 1.0, lower[:, i], lower, 0, i, n)
        for t in range(i):
            m[t, i] = row[t]


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


@_plain
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
    for i in range(y.size, m):
        total[i] = 0.0
    for k in range(c):
        rk = r[k]
        for i in range(m):
            rk[i] *= total[i]
    for i in range(y.size):
        r[y[i], i] -= 1.0
    return loss


@_plain
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


@_plain
def _leading(x, r):
    """Return ``(r, d)`` orthonormal rows near the leading principal directions of the rows of `x`."""
    v, projected = np.zeros((r, x.shape[1])), np.empty((r, len(x)))
    for i in range(len(x) if r else 0):
        _add(v[i % r], 1.0, x[i])
    for _ in range(2):
        _normalise(v)
        _times(v, x, projected, False)
        for j in range(r):
            v[j, :] = 0.0
            _add_rows(v[j], 1.0, projected[j], x, 0, 0, len(x))
    _normalise(v)
    return v


@_plain
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


@_plain
def _model(rest, rest_t, s):
    """Return what models the inverse curvature of `rest` (m, d), of which `rest_t` is the transpose.

    This is ``(s K + I)^-1`` of shape (m, m), or if rows abound the factor ``(s X'X + I)^-1 X'`` of shape (d, m).
    """
    m, d = rest.shape
    a = rest if m <= d else rest_t
    inverse = np.empty((len(a), len(a)))
    _times(a, a, inverse, True)
    for i in range(len(a)):
        for j in range(i, len(a)):
            inverse[i, j] *= s
        inverse[i, i] += 1.0
    _invert(inverse)
    if m <= d:
        return inverse
    factor = np.empty((d, m))
    _times(inverse, rest, factor, False)
    return factor


@_plain
def _apply(g, rest, model, s, a, f):
    """Set ``a = (s K + I)^-1 g`` and the logits ``f = K a = (g - a) / s``, all (c, m)."""
    c, m = g.shape
    if len(model) == m:
        _times(g, model, a, False)
        for k in range(c):
            gk, ak, fk = g[k], a[k], f[k]
            for i in range(m):
                fk[i] = (1.0 / s) * (gk[i] - ak[i])
    else:
        part = np.empty((c, len(model)))
        _times(g, model, part, False)
        _times(part, rest, f, False)
        for k in range(c):
            _shift(g[k], -s, f[k], a[k])


@_plain
def _logits(u, zt, rest, out):
    """Set ``out = u @ zt + rest``."""
    for k in range(len(u)):
        _shift(rest[k], u[k, 0], zt[0], out[k])
        _add_rows(out[k], 1.0, u[k], zt, 0, 1, len(zt))


@_plain
def _gradient(r, a, u, zt, C, h):
    """Set `h` to the gradient, of each row's logits first, then of the coordinates `u`; return their squared norm."""
    c, m = r.shape
    q = len(zt)
    squares = 0.0
    for k in range(c):
        _shift(a[k], C, r[k], h[k * m : (k + 1) * m])
        for j in range(q):
            penalised = u[k, j] if j < q - 1 else 0.0
            h[c * m + k * q + j] = C * _dot(r[k], zt[j]) + penalised
            squares += penalised * penalised
    return squares


@jit
def solve(x, y, c, C, limit):
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
    _times(v, x, zt[:-1], False)
    rest = x.copy()
    for i in range(len(y)):
        zt[-1, i] = 1.0
        _add_rows(rest[i], -1.0, zt[:, i], v, 0, 0, q - 1)
    rest_t = np.ascontiguousarray(rest.T)
    model = _model(rest, rest_t, s)
    # At equal probabilities, p (1 - p) = 1 / c, the exact part is the same for every class.
    half, small, exact = np.full((1, m), 0.5), np.empty((q, q)), np.zeros((c * q, c * q))
    _curvature(half, y[:0], zt, 4.0 * C / c, small)
    for k in range(c):
        for i in range(q):
            _add(exact[k * q + i, k * q : k * q + q], 1.0, small[i])

    steps, changes = np.zeros((MEMORY, full + n)), np.zeros((MEMORY, full))
    rho, alpha = np.zeros(MEMORY), np.zeros(MEMORY)
    F, A, U = np.zeros((c, m)), np.zeros((c, m)), np.zeros((c, q))
    z, r, move, part = np.empty((c, m)), np.empty((c, m)), np.empty((c, m)), np.empty((c, d))
    top, total, h, h_new, g = np.empty(m), np.empty(m), np.empty(full), np.empty(full), np.empty(full)
    # A direction: logits of the rows, exact coordinates, rows of A; the first two pair with a gradient.
    f, u, none = np.empty(full + n), np.empty((c, q)), np.zeros(full + n)
    # The same memory in one dimension, where a loop over all entries is wanted, and in two.
    F_, A_, U_, z_, move_, part_ = F.ravel(), A.ravel(), U.ravel(), z.ravel(), move.ravel(), part.ravel()
    f_dual, f_rows, fu_, fa_ = f[:full], f[:n].reshape(c, m), f[n:full], f[full:]
    fu, fa, g_rows, h_rows = fu_.reshape(c, q), fa_.reshape(c, m), g[:n].reshape(c, m), h[:n].reshape(c, m)
    loss, squares = C * _residual(F, y, r, top, total), 0.0
    _gradient(r, A, U, zt, C, h)
    step, refresh, target, norm, exactly, stalled, born = 0, REFRESH, DECREMENT, math.inf, True, False, 0
    while step < LIMIT:
        if step == refresh:
            _curvature(r, y, zt, C, exact)
            refresh *= 6
        known = min(step - born, MEMORY)
        _shift(h, 0.0, h, g)
        for j in range(known):
            o = (step - 1 - j) % MEMORY
            alpha[o] = rho[o] * _dot(steps[o, :full], g)
            _add(g, -alpha[o], changes[o])
        _apply(g_rows, rest, model, s, fa, f_rows)
        fu_[:] = 0.0
        _add_rows(fu_, 1.0, g[n:], exact, 0, 0, c * q)
        for j in range(known):
            o = (step - known + j) % MEMORY
            _add(f, alpha[o] - rho[o] * _dot(changes[o], f_dual), steps[o])
        slope = -_dot(h, f_dual)
        if stalled or not slope < -target:
            if exactly:
                _times(h_rows, rest_t, part, False)
                norm = math.sqrt(_dot(h[n:], h[n:]) + _dot(part_, part_))
                if stalled or norm <= limit or (born == step and not slope < 0.0):
                    break
                target *= 0.01
                if not slope < 0.0:  # the model is all rounding and begins anew
                    born = step
                    continue
            else:
                # The logits gathered rounding errors step by step. They are taken anew from the coefficients.
                _times(A, rest_t, part, False)
                squares = _dot(part_, part_)
                _times(part, rest, move, False)
                _logits(U, zt, move, F)
                loss = C * _residual(F, y, r, top, total)
                loss += 0.5 * (squares + _gradient(r, A, U, zt, C, h))
                exactly = True
                continue
        _logits(fu, zt, f_rows, move)
        cross, square = _dot(A_, f[:n]), _dot(fa_, f[:n])
        t, new, low, low_slope, high, high_slope = 1.0, loss, 0.0, slope, 0.0, 0.0
        for _ in range(50):
            _shift(F_, -t, move_, z_)
            _shift(U_, -t, fu_, u.ravel())
            new = C * _residual(z, y, r, top, total)
            new += 0.5 * (squares + t * (t * square - 2.0 * cross) + _gradient(r, A, u, zt, C, h_new))
            _add(h_new[:n], -t, fa_)
            now = -_dot(h_new, f_dual)
            # Near the optimum the loss is all rounding, so a rise within it is no reason to search on.
            near = abs(now) <= 0.3 * abs(slope) and (now <= 0.0 or new <= loss + 1e-10 * abs(loss))
            if near or (t == LONGEST and now <= 0.0):
                break
            if now > 0.0:
                high, high_slope = t, now
            else:
                low, low_slope = t, now
            t = low + (high - low) * low_slope / (low_slope - high_slope) if high > 0.0 else LONGEST
        o = step % MEMORY
        _shift(none, -t, f, steps[o])
        _shift(h_new, -1.0, h, changes[o])
        bend = _dot(steps[o, :full], changes[o])
        if not bend > 0.0:  # and if it was new, nothing is left to gain
            stalled, born = born == step, step
            continue
        rho[o] = 1.0 / bend
        squares, loss = squares + t * (t * square - 2.0 * cross), new
        _add(F_, -t, move_)
        _add(U_, -t, fu_)
        _add(A_, -t, fa_)
        _add(h, 1.0, changes[o])
        step, exactly = step + 1, False
    w, b = np.empty((c, d)), np.empty(c)
    _times(A, rest_t, w, False)
    for k in range(c):
        _add_rows(w[k], 1.0, U[k], v, 0, 0, q - 1)
        b[k] = U[k, -1]
    return w, b, norm, step
