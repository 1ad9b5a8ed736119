"""Test metrics from predicted probabilities."""

import numpy as np

from querist.arrays import Array, Labels

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "nll")
"""What every checkpoint records, in this order."""

FLOOR = 1e-12
"""Smallest probability the negative log-likelihood sees; a class the model has ruled out costs 27.6 nats."""


def evaluate(p_n_c: Array, y_n: Labels) -> dict[str, float]:
    """Return the metrics of predictions.

    ``balanced_accuracy`` is the mean recall over the classes that occur in `y_n`; ``macro_f1`` averages over the
    classes that occur in `y_n` or among the predictions; ``nll`` is in nats.

    Args:
        p_n_c: probabilities; the predicted class is the first of the most likely ones.
        y_n: true class numbers.
    """
    p_n_c = p_n_c.astype(np.float64)  # in half precision the floor would be zero
    c = p_n_c.shape[1]
    predicted = p_n_c.argmax(axis=1)
    confusion = np.bincount(y_n * c + predicted, minlength=c * c).reshape(c, c)
    hits, actual, claimed = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    seen, either = actual > 0, (actual + claimed) > 0
    likelihood = np.maximum(p_n_c[np.arange(len(y_n)), y_n], FLOOR)
    values = (
        hits.sum() / len(y_n),
        (hits[seen] / actual[seen]).mean(),
        (2 * hits[either] / (actual + claimed)[either]).mean(),
        -np.log(likelihood).mean(),
    )
    return dict(zip(METRICS, map(float, values), strict=True))
