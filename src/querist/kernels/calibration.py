"""How far confidence is from accuracy, and the temperatures that bring them together."""

import numpy as np

from querist.arrays import Array, Labels

BINS = 15
"""Bins of equal width of the confidence."""

BLOCK = 2**20
"""Probabilities computed at a time."""


def tempered(p_n_c: Array, temperature: float) -> Array:
    """Return ``(n, c)`` float64: the softmax of ``log p / temperature``; a probability of 0 stays 0."""
    with np.errstate(divide="ignore"):
        z_n_c = np.log(np.maximum(p_n_c, 0.0, dtype=np.float64)) / temperature
    p = np.exp(z_n_c - z_n_c.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def calibration_error(confidence_n: Array, correct_n: Array) -> float:
    """Return the expected calibration error: the mean over rows of |accuracy - confidence| of the row's bin.

    Naeini, Cooper & Hauskrecht, AAAI 2015; bins as in Guo et al., ICML 2017.

    Args:
        confidence_n: the largest probability of each row.
        correct_n: 1 where the most likely class is the true one, 0 elsewhere.
    """
    bins = np.minimum((confidence_n * BINS).astype(np.intp), BINS - 1)
    return float(np.abs(np.bincount(bins, correct_n - confidence_n, BINS)).sum() / len(confidence_n))


def best_temperature(p_n_c: Array, y_n: Labels, grid: Array) -> float:
    """Return the temperature of `grid` with the least calibration error; of several the one nearest to 1.

    Args:
        p_n_c: probabilities of rows the model was not fitted on; at least one row.
        y_n: their true classes.
        grid: positive temperatures.
    """
    with np.errstate(divide="ignore"):
        z_n_c = np.log(np.maximum(p_n_c, 0.0, dtype=np.float64))
    z_n_c -= z_n_c.max(axis=1, keepdims=True)
    correct_n = (p_n_c.argmax(axis=1) == y_n).astype(np.float64)
    ordered = grid[np.argsort(np.abs(np.log(grid)), kind="stable")]
    step = max(1, BLOCK // z_n_c.size)
    best, least = 1.0, np.inf
    for start in range(0, len(ordered), step):
        part = ordered[start : start + step]
        # The largest term of each softmax is exp(0) = 1.
        confidence_t_n = 1.0 / np.exp(z_n_c / part[:, None, None]).sum(axis=2)
        for temperature, confidence_n in zip(part, confidence_t_n, strict=True):
            error = calibration_error(confidence_n, correct_n)
            # Smaller by rounding alone is not smaller.
            if error < least - 1e-12:
                best, least = float(temperature), error
    return best


def likeliest_temperature(p_n_c: Array, y_n: Labels, grid: Array) -> float:
    """Return the temperature of `grid` at which the true classes are likeliest; of several the one nearest to 1.

    Identity: the argmin over T of the mean of ``-log softmax(log p / T)[y]``. A row whose true class has the
    probability 0 would forbid every temperature and is left out: its model never saw that class. Without rows, 1.

    Args:
        p_n_c: probabilities of rows the model was not fitted on.
        y_n: their true classes.
        grid: positive temperatures.

    Source: Guo et al., ICML 2017.
    """
    p_n_c = np.maximum(p_n_c, 0.0, dtype=np.float64)
    rows = np.flatnonzero(p_n_c[np.arange(len(y_n)), y_n] > 0.0)
    if not len(rows):
        return 1.0
    with np.errstate(divide="ignore"):
        z_n_c = np.log(p_n_c[rows])
    z_n_c -= z_n_c[np.arange(len(rows)), y_n[rows]][:, None]
    best, least = 1.0, np.inf
    for temperature in grid[np.argsort(np.abs(np.log(grid)), kind="stable")]:
        scaled_n_c = z_n_c / temperature
        top_n = scaled_n_c.max(axis=1)
        loss = float((top_n + np.log(np.exp(scaled_n_c - top_n[:, None]).sum(axis=1))).mean())
        if loss < least - 1e-12:
            best, least = float(temperature), loss
    return best
