"""Folds of labelled rows, and what a model says about each row that it was not fitted on."""

from collections.abc import Callable

import numpy as np

from querist.arrays import Array, Hashes, Rows


def folds(tie_n: Hashes, k: int) -> list[Rows]:
    """Return `k` disjoint sets of rows, ascending, of sizes that differ by one at most; ``min(k, n)`` sets.

    Which rows go together depends on their hashes alone, so that permuting rows permutes the folds.
    """
    order = np.argsort(tie_n)
    return [np.sort(order[fold :: min(k, len(order))]) for fold in range(min(k, len(order)))]


def held_out(refit: Callable[[Rows], Array], tie_n: Hashes, k: int) -> Array:
    """Return ``(n, c)``: for each row the probabilities under a model that was fitted on the other folds.

    Args:
        refit: rows to fit on to the probabilities ``(n, c)`` of all rows; see `querist.evidence.needs.Refit`.
        tie_n: one hash per row, from which the folds come; at least two rows.
        k: number of folds.
    """
    every, held = np.arange(len(tie_n)), folds(tie_n, k)
    fitted = [refit(np.setdiff1d(every, fold)) for fold in held]
    p_n_c = np.empty_like(fitted[0])
    for fold, p in zip(held, fitted, strict=True):
        p_n_c[fold] = p[fold]
    return p_n_c
