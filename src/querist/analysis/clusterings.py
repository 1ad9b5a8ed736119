"""How well a clustering agrees with the true classes."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from querist.errors import DataError


class Agreement(NamedTuple):
    """Of a clustering and the true classes; all are 1 if they are the same up to names."""

    accuracy: float
    """Share of items whose class is that of their cluster, under the best one-to-one matching (Kuhn, 1955)."""
    nmi: float
    """Mutual information divided by the mean of both entropies (Strehl & Ghosh, JMLR 2002)."""
    ari: float
    """Adjusted Rand index: 0 in expectation for a random clustering (Hubert & Arabie, J. Classification 1985)."""


def agreement(cluster_n: npt.NDArray[np.integer], class_n: npt.NDArray[np.integer]) -> Agreement:
    """Return how well clusters agree with classes.

    With other numbers of clusters than of classes, some stay without a partner and their items count as wrong.

    Args:
        cluster_n: cluster of each item, at least one item; any integers.
        class_n: its true class.

    Raises:
        DataError: there are no items, or not one class for each.
    """
    if not len(cluster_n) or len(cluster_n) != len(class_n):
        raise DataError(f"Expected one class per clustered item, got {len(class_n)} for {len(cluster_n)} items.")
    n = len(cluster_n)
    rows, columns = (np.unique(values, return_inverse=True)[1] for values in (cluster_n, class_n))
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    matched = table[linear_sum_assignment(-table)].sum() / n
    a, b = table.sum(axis=1), table.sum(axis=0)
    p, outer = table / n, np.outer(a, b) / n**2
    seen = table > 0
    information = float((p[seen] * np.log(p[seen] / outer[seen])).sum())
    entropies = (_entropy(a / n) + _entropy(b / n)) / 2
    nmi = information / entropies if entropies > 0 else 1.0
    together, first, second = (_pairs(counts) for counts in (table, a, b))
    expected = first * second / _pairs(np.array([n])) if n > 1 else 0.0
    most = (first + second) / 2
    ari = (together - expected) / (most - expected) if most > expected else 1.0
    return Agreement(float(matched), float(np.clip(nmi, 0, 1)), float(ari))


def _entropy(p: npt.NDArray[np.floating]) -> float:
    return float(-(p * np.log(p)).sum())


def _pairs(counts: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> float:
    return float((counts * (counts - 1.0) / 2.0).sum())
