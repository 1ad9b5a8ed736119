"""Test metrics from predicted probabilities."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Labels

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece")
"""What every checkpoint records, in this order."""

TOP5 = "top5_accuracy"
"""Recorded after those where there are more than five classes; with fewer it would always be 1."""

FLOOR = 1e-12
"""Smallest probability the negative log-likelihood sees; a class the model has ruled out costs 27.6 nats."""

BINS = 15
"""Bins of equal width of the expected calibration error, as Guo et al. took them."""


def metrics_of(c: int) -> tuple[str, ...]:
    """Return the names of the metrics of a problem with `c` classes, in order.

    >>> metrics_of(5) == METRICS, metrics_of(6)[-1]
    (True, 'top5_accuracy')
    """
    return (*METRICS, TOP5) if c > 5 else METRICS


def evaluate(p_n_c: Array, y_n: Labels) -> dict[str, float]:
    """Return the metrics of predictions.

    ``balanced_accuracy`` is the mean recall over the classes that occur in `y_n`; ``macro_f1`` averages over the
    classes that occur in `y_n` or among the predictions; ``nll`` is in nats. ``ece`` is the expected calibration error
    of the predicted class over 15 bins of equal width (Guo, Pleiss, Sun & Weinberger, ICML 2017). ``top5_accuracy`` is
    the share of rows whose true class is among the five most likely, the first ones of equals.

    Args:
        p_n_c: probabilities; the predicted class is the first of the most likely ones.
        y_n: true class numbers.
    """
    p_n_c = p_n_c.astype(np.float64)  # in half precision the floor would be zero
    n, c = p_n_c.shape
    confusion = _confusion(p_n_c, y_n)
    hits, actual, claimed = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    seen, either = actual > 0, (actual + claimed) > 0
    p_n = p_n_c[np.arange(n), y_n]
    values = [
        hits.sum() / n,
        (hits[seen] / actual[seen]).mean(),
        (2 * hits[either] / (actual + claimed)[either]).mean(),
        -np.log(np.maximum(p_n, FLOOR)).mean(),
        _calibration_error(p_n_c, y_n),
    ]
    if c > 5:
        values.append(_within_five(p_n_c, y_n, p_n))
    return dict(zip(metrics_of(c), map(float, values), strict=True))


def recalls(p_n_c: Array, y_n: Labels) -> Array:
    """Return ``(c,)``: the share of each class that is predicted as such, NaN for a class that does not occur."""
    confusion = _confusion(p_n_c, y_n)
    actual = confusion.sum(axis=1)
    return np.divide(confusion.diagonal(), actual, out=np.full(len(actual), np.nan), where=actual > 0)


def _confusion(p_n_c: Array, y_n: Labels) -> npt.NDArray[np.intp]:
    """Return ``(c, c)`` counts: true classes in rows, predicted ones in columns."""
    c = p_n_c.shape[1]
    return np.bincount(y_n * c + p_n_c.argmax(axis=1), minlength=c * c).reshape(c, c)


def _calibration_error(p_n_c: Array, y_n: Labels) -> float:
    confidence = p_n_c.max(axis=1)
    # Bins are closed above, as published: what is certain belongs to the last one.
    of_bin = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    gap = np.bincount(of_bin, weights=(p_n_c.argmax(axis=1) == y_n) - confidence, minlength=BINS)
    return np.abs(gap).sum() / len(y_n)


def _within_five(p_n_c: Array, y_n: Labels, p_n: Array) -> float:
    """Count classes that come before the true one: the likelier ones, and of equals those with lower numbers."""
    earlier = np.arange(p_n_c.shape[1]) < y_n[:, None]
    rank = ((p_n_c > p_n[:, None]) | ((p_n_c == p_n[:, None]) & earlier)).sum(axis=1)
    return (rank < 5).mean()
