"""Greedy coverage with a certificate, for pools of any size: beyond a limit gains are sums over a sample of rows."""

from math import log, sqrt
from typing import NamedTuple

import numpy as np

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels import pairs
from querist.kernels.certificate import Certificate, most_possible
from querist.kernels.coverage import Coverage, Similarity
from querist.kernels.jit import dense
from querist.kernels.workers import each_block

CONFIDENCE = 0.99
"""Probability with which the bound of a certificate holds when rows were sampled."""

BLOCK = 64 * pairs.LANES
"""Rows whose nearest centre one thread looks for in one go."""


class Cover(NamedTuple):
    """Picks of `certified_cover`: fewer than asked for when no other row adds anything."""

    rows: Rows
    gain: Array
    certificate: Certificate


def certified_cover(
    x_N_d: Array,
    similarity: Similarity,
    centres: Rows,
    open_N: Bools,
    tie_N: Hashes,
    b: int,
    weight_N: Array | None = None,
    *,
    limit: int,
    sample_N: Hashes,
) -> Cover:
    """Return what `greedy_cover` does, and how far from the best possible that may be.

    Up to `limit` rows it is exact. With more, gains are sums over the ``m = limit^2 / N`` rows of smallest `sample_N`,
    scaled up, so that the work stays that of `limit` rows; every open row remains a candidate.

    The certificate: increments over `centres` are monotone and submodular, so `most_possible` bounds those of every O
    of b rows. On a sample it bounds the sample's mean. The best O does not depend on the sample, so its mean over all
    rows is larger by more than ``w sqrt((1 - (m - 1) / N) log(1 / (1 - CONFIDENCE)) / 2m)``, w the largest weight, with
    probability below ``1 - CONFIDENCE`` only (Hoeffding, JASA 1963; Serfling, Annals of Statistics 1974). What the
    picks themselves add is summed over all rows, in O(N (b + centres) d).

    Args:
        x_N_d: points.
        similarity: what covers, and how well.
        centres: rows that cover already.
        open_N: rows that may be picked.
        tie_N: among equal gains the smallest wins.
        b: number of picks, 0 or more.
        weight_N: how much each row counts, 0 or more; all alike by default.
        limit: with more rows than this, gains are estimated.
        sample_N: hashes that choose the sample; others than `tie_N`.
    """
    N = len(x_N_d)
    if limit >= N:
        rows, gain, most = _greedy(Coverage(x_N_d, similarity, centres, weight_N), open_N, tie_N, b)
        return Cover(rows, gain, Certificate(float(gain.sum()), most, N, N, 1.0))
    m = sample_size(N, limit)
    whole_N = np.ones(N) if weight_N is None else weight_N
    part_N, part = np.zeros(N), np.argpartition(sample_N, m - 1)[:m]
    part_N[part] = whole_N[part]
    rows, gain, most = _greedy(Coverage(x_N_d, similarity, centres, part_N), open_N, tie_N, b)
    slack = float(whole_N.max()) * mean_slack(m, N)
    before = assigned(x_N_d, similarity, centres)[1]
    after = np.maximum(assigned(x_N_d, similarity, rows)[1], before)
    bound = min(N * (most / m + slack), float(whole_N @ (1.0 - before)))
    return Cover(rows, gain * (N / m), Certificate(float(whole_N @ (after - before)), bound, m, N, CONFIDENCE))


def sample_size(n: int, limit: int) -> int:
    """Return how many references there are for `n` rows, so that the work is that of `limit` rows."""
    return n if n <= limit else max(1, limit * limit // n)


def mean_slack(m: int, n: int) -> float:
    """Return how far the mean of `n` numbers from 0 to 1 lies above that of `m` drawn from them, but for a rare chance.

    Rare is ``1 - CONFIDENCE``. Hoeffding, JASA 1963; Serfling, Annals of Statistics 1974.
    """
    return sqrt((1 - (m - 1) / n) * log(1 / (1 - CONFIDENCE)) / (2 * m))


def assigned(x_N_d: Array, similarity: Similarity, centres: Rows) -> tuple[Rows, Array]:
    """Return for each row the number of its most similar centre (-1 without centres), and how similar that is.

    The earlier of equally similar centres is taken. Time O(N centres d).
    """
    N = len(x_N_d)
    x_N_d, centres = dense(x_N_d), np.ascontiguousarray(centres, np.intp)
    owner_N, first_N = np.empty(N, np.intp), np.empty(N)
    kind, scale, _ = similarity

    def work(block: slice) -> None:
        rows = np.arange(block.start, block.stop)
        spare, other = np.empty(len(rows)), np.empty(len(rows), np.intp)
        pairs.two_best(x_N_d, rows, centres, kind, scale, first_N[block], spare, owner_N[block], other)

    each_block(work, N, BLOCK)
    return owner_N, first_N / pairs.UNIT


def _greedy(coverage: Coverage, open_N: Bools, tie_N: Hashes, b: int) -> tuple[Rows, Array, float]:
    """Return picks, their gains, and what no choice of `b` open rows can add more than."""
    rows, gain = coverage.greedy(open_N, tie_N, b)
    most = coverage.most
    if b and len(rows) == b:
        coverage.add(int(rows[-1]), 0)
    return rows, gain, min(most, most_possible(float(gain.sum()), coverage.largest_gains(open_N, b), b))
