"""Paired comparison of two arms: pairing by key, the t test, the exact signed-rank test, and power."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from querist.arrays import Array, readonly
from querist.errors import DataError

PoolSeed = tuple[int, int]

MOST_POOLS = 200
"""No forecast goes beyond this many pools."""

RESOLUTION = 12
"""Decimals kept of a difference: rounding noise of equal results must become neither a rank nor a variance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """The differences of two arms, one per pool.

    Attributes:
        pools: the pools in which both arms have a run with the same seed, ascending.
        differences: ``(pools,)`` arm minus reference, averaged over the shared seeds of a pool.
        lacking: (pool, seed) of runs the reference has and the arm has not.
        unmatched: (pool, seed) of runs the arm has and the reference has not.
    """

    pools: tuple[int, ...]
    differences: Array
    lacking: tuple[PoolSeed, ...]
    unmatched: tuple[PoolSeed, ...]


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """What P paired differences say. NaN where P is too small to say it.

    Attributes:
        pools: P.
        mean: mean difference.
        sd: its standard deviation over pools (ddof = 1); NaN for P < 2.
        lower: lower end of the 95 % interval of the mean difference (t distribution); NaN for P < 2.
        upper: upper end.
        p_t: two-sided p of the paired t test; NaN for P < 2.
        p_wilcoxon: two-sided exact p of the signed-rank test; NaN for P = 0.
        d_z: mean / sd; 0 if all differences are zero, infinite if they are equal and not zero.
        above: number of pools with a positive difference.
        below: number of pools with a negative difference.
    """

    pools: int
    mean: float
    sd: float
    lower: float
    upper: float
    p_t: float
    p_wilcoxon: float
    d_z: float
    above: int
    below: int


def pair(scores: Mapping[PoolSeed, float], reference: Mapping[PoolSeed, float]) -> Pairs:
    """Return the paired differences of two arms, matched by key and never by position.

    Seeds are averaged inside a pool, so that a pool counts once however many seeds it has: seeds of one pool share its
    initial labels and are no independent evidence.

    Args:
        scores: one number per run, by (pool, seed).
        reference: the same for the arm compared with.
    """
    shared = sorted(scores.keys() & reference.keys())
    pools = tuple(sorted({pool for pool, _ in shared}))
    differences = [np.mean([scores[k] - reference[k] for k in shared if k[0] == pool]) for pool in pools]
    return Pairs(
        pools=pools,
        differences=readonly(np.round(np.array(differences, dtype=np.float64), RESOLUTION)),
        lacking=tuple(sorted(reference.keys() - scores.keys())),
        unmatched=tuple(sorted(scores.keys() - reference.keys())),
    )


def paired_test(differences: npt.ArrayLike, level: float = 0.95) -> PairedTest:
    """Return t test, exact signed-rank test, interval and effect size of paired differences ``(P,)``.

    Raises:
        DataError: not one-dimensional, or not finite.
    """
    d = _differences(differences)
    count = len(d)
    # Equal numbers have no spread, though a computed standard deviation of 0.1, 0.1, 0.1 is 1e-17.
    constant = count > 0 and np.ptp(d) == 0
    mean = float(d[0] if constant else d.mean()) if count else np.nan
    sd = (0.0 if constant else float(d.std(ddof=1))) if count > 1 else np.nan
    half = t_quantile((1 + level) / 2, count) * sd / np.sqrt(count) if count > 1 else np.nan
    d_z = _standardised(mean, sd)
    # stdtr at minus infinity is 0: equal non-zero differences have p = 0, and the signed-rank test keeps them in check.
    p_t = min(1.0, 2 * float(special.stdtr(count - 1, -abs(d_z) * np.sqrt(count)))) if count > 1 else np.nan
    return PairedTest(
        pools=count, mean=mean, sd=sd, lower=float(mean - half), upper=float(mean + half), p_t=p_t,
        p_wilcoxon=signed_rank_p(d) if count else np.nan, d_z=float(d_z),
        above=int((d > 0).sum()), below=int((d < 0).sum()),
    )  # fmt: skip


def signed_rank_p(differences: npt.ArrayLike) -> float:
    """Return the two-sided exact p-value of the Wilcoxon signed-rank test.

    Ranks of ``|d|`` with mid-ranks for ties; zeros are ranked and then dropped (Pratt, JASA 1959). The null
    distribution is that of the observed ranks under all 2^m sign patterns of the m non-zero differences, by
    convolution, so it is exact with ties and zeros too. Two-sided: ``min(1, 2 min(P(W <= w), P(W >= w)))``. All zeros
    give 1.

    Raises:
        DataError: empty, not one-dimensional, or not finite.
    """
    d = _differences(differences)
    if not len(d):
        raise DataError("A signed-rank test needs at least one difference, got none.")
    _, place, counts = np.unique(np.abs(d), return_inverse=True, return_counts=True)
    # Twice the mid-rank is an integer: positions first..first + count - 1 average to first + (count - 1) / 2.
    first = np.cumsum(counts) - counts + 1
    twice = (2 * first + counts - 1)[place]
    null = _null(tuple(sorted(twice[d != 0].tolist())))
    statistic = int(twice[d > 0].sum())
    tail = min(null[: statistic + 1].sum(), null[statistic:].sum())
    return min(1.0, 2 * float(tail))


@lru_cache(maxsize=256)
def _null(ranks: tuple[int, ...]) -> Array:
    """Probabilities of the sum of the ranks with a positive sign, ``(sum of ranks + 1,)``."""
    null = np.zeros(sum(ranks) + 1)
    null[0] = 1.0
    for rank in ranks:
        # Halving is exact, and up to 53 pools so are the sums.
        null = null / 2
        null[rank:] += null[:-rank].copy()
    return readonly(null)


def smallest_signed_rank_p(pools: int) -> float:
    """Return the smallest two-sided p a signed-rank test of `pools` differences can give: 2 / 2^P, at most 1."""
    return min(1.0, 2.0 ** (1 - pools))


def t_quantile(probability: float, pools: int) -> float:
    """Return the quantile of the t distribution with `pools` - 1 degrees of freedom."""
    return float(special.stdtrit(pools - 1, probability))


def power(d_z: float, pools: npt.ArrayLike, alpha: float = 0.05) -> Array:
    """Return the power of the two-sided paired t test for a true effect `d_z`, at each number of `pools` >= 2."""
    count = np.asarray(pools, dtype=np.float64)
    critical = special.stdtrit(count - 1, 1 - alpha / 2)
    shift = np.minimum(np.abs(d_z), 30.0) * np.sqrt(count)  # beyond this the distribution underflows
    upper = 1 - special.nctdtr(count - 1, shift, critical)
    lower = special.nctdtr(count - 1, shift, -critical)
    return np.asarray(np.nan_to_num(upper, nan=1.0) + np.nan_to_num(lower, nan=0.0))


def pools_for_power(d_z: float, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """Return the smallest number of pools with the power wanted, or None if it is more than `MOST_POOLS`."""
    return _first(2, lambda pools: float(power(d_z, pools, alpha)) >= wanted)


def pools_for_width(sd: float, half_width: float, at_least: int = 2) -> int | None:
    """Return the smallest number of pools whose 95 % interval is narrower than ``mean ± half_width``, or None.

    The standard deviation is taken to stay what it is.
    """
    return _first(at_least, lambda pools: t_quantile(0.975, pools) * sd / math.sqrt(pools) < half_width)


def _first(least: int, enough: Callable[[int], bool]) -> int | None:
    """The smallest number of pools that is enough; more pools are never worse, so halving the range finds it."""
    found = bisect_left(range(least, MOST_POOLS + 1), True, key=enough) + least
    return found if found <= MOST_POOLS else None


def _standardised(mean: float, sd: float) -> float:
    if np.isnan(sd) or mean == 0:
        return sd * 0
    return mean / sd if sd > 0 else float(np.copysign(np.inf, mean))


def _differences(values: npt.ArrayLike) -> Array:
    d = np.asarray(values, dtype=np.float64)
    if d.ndim != 1 or not np.isfinite(d).all():
        raise DataError(f"Expected a list of finite differences, got {d.tolist()}.")
    return d
