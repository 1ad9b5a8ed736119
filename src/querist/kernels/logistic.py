"""Multinomial logistic regression: the optimum of one small problem, fast, on one thread."""

import math
from typing import NamedTuple

import numpy as np

from querist.arrays import Array, Labels, require_finite
from querist.errors import DataError, FitError
from querist.kernels.logistic_solver import solve

GRADIENT = 1e-5
"""The norm of the gradient that counts as zero, unless ``C * l`` is above ten thousand."""


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
    leading principal directions and the intercepts and by a multiple of the Gram matrix on the rest (cf. Böhning, AISM
    1992).
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
    strength = float(penalty / 2 if len(seen) == 2 else penalty)
    # Of the last, all is rounding; of the one before, curvature makes a large gradient of a small error.
    limit = max(GRADIENT, 1e-7 * math.sqrt(strength * l), 1e-11 * strength * l)
    w, intercept[seen], gradient, steps = solve(x, number[y_l], len(seen), strength, limit)
    coef[seen] = w[:, :d]
    if not gradient <= limit:
        raise FitError(
            f"logistic regression on {l} labels of {len(seen)} classes with C = {penalty:g} did not reach its optimum "
            f"in {steps} steps. Look for features of very different scales, or lower C."
        )
    return LinearHead(coef, intercept, steps)
