"""Label propagation: pseudo-labels of all rows from a few labels on a graph, and how far each is to be trusted."""

from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

from querist.arrays import Array, Bools, Labels, Rows
from querist.errors import DataError
from querist.kernels.diffusion import diffused
from querist.kernels.race import log_waits
from querist.kernels.scores import entropy
from querist.seeds import Key

Mode = Literal["full", "certain", "prob", "uniform"]
"""Which pseudo-labels are used, see `used`."""


class Propagated(NamedTuple):
    """What labels say of N rows that a graph joins."""

    p: Array
    """``(N, c)`` float64 shares of the classes in what reaches a row; 1/c everywhere where nothing does."""
    weight: Array
    """``(N,)``: ``1 - H(p) / log c`` over its maximum, in 0..1; exactly 0 where nothing reaches a row."""
    reached: Bools
    """``(N,)``: whether any label reaches a row."""


def propagated(
    graph: sparse.csr_array,
    rows_l: Rows,
    y_l: Labels,
    c: int,
    *,
    alpha: float,
    steps: int,
    tolerance: float,
    pooling: Literal["mean", "sum"] = "mean",
) -> Propagated:
    """Spread labels over a graph: ``(I - alpha S) Z = Y``, negative values cut off, rows divided by their sums.

    ``Y`` is 1 over the number of labels of the class at every labelled row (``mean``), or 1 (``sum``). A class without
    labels has probability 0 everywhere, and entropies are divided by the logarithm of all `c` declared classes
    nevertheless: certainty does not grow because classes have not been met.

    Args:
        graph: of `kernels.diffusion.normalised_graph`.
        rows_l: ``(l,)`` rows that have labels; a row that is there twice starts with twice as much.
        y_l: ``(l,)`` class numbers in ``0..c-1``.
        c: number of declared classes.
        alpha: how far labels spread, between 0 and 1.
        steps: of conjugate gradients, at most.
        tolerance: of the residual of a class, relative.
        pooling: what a class with many labels starts with.

    Raises:
        DataError: there are no labels, or class numbers are out of range.

    Source: Zhou et al., NeurIPS 2003; weights: Iscen, Tolias, Avrithis & Chum, CVPR 2019.
    """
    N: int = graph.shape[0]  # pyright: ignore[reportOptionalSubscript]
    if len(rows_l) == 0 or len(rows_l) != len(y_l):
        raise DataError(f"Expected a label for each of at least one row, got {len(y_l)} for {len(rows_l)} rows.")
    if y_l.min() < 0 or y_l.max() >= c:
        raise DataError(f"Expected labels in 0..{c - 1}, got {y_l.min()} to {y_l.max()}.")
    count_c = np.bincount(y_l, minlength=c)
    seen = np.flatnonzero(count_c)
    source_N_s = np.zeros((N, len(seen)))
    start_l = 1.0 / count_c[y_l] if pooling == "mean" else np.ones(len(y_l))
    np.add.at(source_N_s, (rows_l, np.searchsorted(seen, y_l)), start_l)
    z_N_s = np.maximum(diffused(graph, source_N_s, alpha, steps=steps, tolerance=tolerance), 0.0)
    total_N = z_N_s.sum(axis=1)
    reached_N = total_N > 0
    p_N_c = np.full((N, c), 1.0 / c)
    p_N_c[reached_N] = 0.0
    p_N_c[np.ix_(reached_N, seen)] = z_N_s[reached_N] / total_N[reached_N, None]
    return Propagated(p_N_c, certainty(p_N_c, reached_N), reached_N)


def certainty(p_N_c: Array, reached_N: Bools) -> Array:
    """Return ``1 - H / log c`` of every row over the largest of them; 0 for rows that nothing reaches.

    Where no row is more certain than chance, all weights are 0.
    """
    c = p_N_c.shape[1]
    weight_N = np.where(reached_N, 1.0 - (entropy(p_N_c) / np.log(c) if c > 1 else 0.0), 0.0)
    weight_N = np.maximum(weight_N, 0.0)
    largest = weight_N.max(initial=0.0)
    return weight_N / largest if largest > 0 else weight_N


def used(weight_n: Array, mode: Mode, share: float, least: float, key: Key) -> Rows:
    """Return which rows take part in training, ascending.

    ``full``: all; ``certain``: the `share` with the largest weights, the first of equals; ``prob``: that many drawn
    without replacement with probabilities proportional to the weights; ``uniform``: that many at random. A row whose
    weight is 0 or below `least` takes no part, so there may be fewer.

    Args:
        weight_n: in 0..1.
        mode: how they are chosen.
        share: of all n rows.
        least: smallest weight.
        key: of the draw; row i meets the number of i.
    """
    able = np.flatnonzero((weight_n > 0) & (weight_n >= least))
    if mode == "full":
        return able
    wait_m = np.zeros(len(able)) if mode == "certain" else log_waits(able, key)
    if mode != "uniform":
        # The winners of an exponential race are a draw without replacement (Efraimidis & Spirakis 2006).
        wait_m = wait_m - np.log(weight_n[able])
    return np.sort(able[np.argsort(wait_m, kind="stable")[: round(share * len(weight_n))]])


def balance(y_n: Labels, c: int) -> Array:
    """Return what a row of each class is multiplied by for all classes to weigh the same, ``(c,)``.

    ``zeta_k = (n / m) / n_k`` with m classes that have rows, so the mean over the n rows is 1; with all c classes there
    it is the ``(n / c) / n_k`` that was published. A class without rows has 1, which multiplies nothing.
    """
    count_c = np.bincount(y_n, minlength=c)
    there = count_c > 0
    zeta_c = np.ones(c)
    zeta_c[there] = len(y_n) / (there.sum() * count_c[there])
    return zeta_c
