"""Pairing, t test, exact signed-rank test and power against enumeration, scipy and published tables."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from querist.analysis.paired import (
    pair,
    paired_test,
    pools_for_power,
    pools_for_width,
    power,
    signed_rank_p,
    smallest_signed_rank_p,
)
from querist.errors import DataError

tied = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=10)
smooth = st.lists(st.floats(-1, 1).map(lambda x: round(x, 6)), min_size=2, max_size=30)


def enumerated_p(d):
    """All 2^m sign patterns of the non-zero differences, ranks by counting smaller and equal ones."""
    size = [abs(x) for x in d]
    rank = [sum(s < x for s in size) + (sum(s == x for s in size) + 1) / 2 for x in size]
    kept = [(r, x) for r, x in zip(rank, d, strict=True) if x != 0]
    observed = sum(r for r, x in kept if x > 0)
    sums = [
        sum(itertools.compress((r for r, _ in kept), signs)) for signs in itertools.product([0, 1], repeat=len(kept))
    ]
    tail = min(sum(s <= observed for s in sums), sum(s >= observed for s in sums))
    return min(1.0, 2 * tail / len(sums))


@given(tied)
def test_signed_rank_equals_enumeration_with_ties_and_zeros(d):
    assert signed_rank_p(d) == pytest.approx(enumerated_p(d), abs=1e-12)


@pytest.mark.parametrize("pools", [2, 5, 6, 10, 20, 50])
def test_signed_rank_equals_scipy_where_scipy_is_exact(pools):
    rng = np.random.default_rng(pools)
    for shift in (0.0, 0.4, 1.0):
        d = rng.normal(shift, 1, pools)
        assert signed_rank_p(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-10)


@given(tied.filter(any), st.floats(0.01, 100))
def test_signed_rank_depends_on_order_sizes_and_signs_only_as_it_should(d, factor):
    p = signed_rank_p(d)
    assert signed_rank_p([-x for x in d]) == p
    assert signed_rank_p(d[::-1]) == p
    assert signed_rank_p([math.copysign(abs(x) ** 3 * factor, x) for x in d]) == p


@pytest.mark.parametrize("pools", [1, 5, 6, 10, 30])
def test_smallest_signed_rank_p_is_reached_by_a_clean_sweep(pools):
    assert signed_rank_p(np.arange(1.0, pools + 1)) == smallest_signed_rank_p(pools) == min(1, 2 / 2**pools)


def test_five_pools_cannot_reach_five_percent_and_six_can():
    assert smallest_signed_rank_p(5) > 0.05 > smallest_signed_rank_p(6)


def test_all_zero_differences_say_nothing():
    test = paired_test([0.0] * 6)
    assert (test.p_t, test.p_wilcoxon, test.d_z, test.lower, test.upper) == (1, 1, 0, 0, 0)


@given(smooth.filter(lambda d: np.std(d) > 1e-4))
def test_t_test_equals_scipy(d):
    ours, theirs = paired_test(d), stats.ttest_1samp(d, 0)
    interval = theirs.confidence_interval(0.95)
    assert ours.p_t == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.lower, ours.upper) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert ours.sd == pytest.approx(np.std(d, ddof=1))
    assert ours.d_z == pytest.approx(theirs.statistic / math.sqrt(len(d)), rel=1e-9)


@given(smooth.filter(lambda d: np.std(d) > 1e-4))
def test_interval_excludes_zero_exactly_if_p_is_below_five_percent(d):
    test = paired_test(d)
    if abs(test.p_t - 0.05) > 1e-9:
        assert (test.lower > 0 or test.upper < 0) == (test.p_t < 0.05)


def test_equal_differences_have_no_spread_whatever_rounding_says():
    test = paired_test([0.1] * 3)
    assert test.sd == 0
    assert test.d_z == math.inf
    assert paired_test([-0.1] * 3).d_z == -math.inf
    assert test.p_t == 0
    assert test.p_wilcoxon == 0.25


def test_too_few_pools_give_nan_not_a_guess():
    one, none = paired_test([0.2]), paired_test([])
    assert one.mean == 0.2
    assert all(math.isnan(x) for x in (one.sd, one.lower, one.upper, one.p_t, one.d_z, none.mean, none.p_wilcoxon))
    assert (one.pools, none.pools) == (1, 0)


@pytest.mark.parametrize("bad", [[0.1, math.nan], [[0.1], [0.2]], [math.inf]])
def test_refuses_what_is_no_list_of_differences(bad):
    with pytest.raises(DataError, match="finite differences"):
        paired_test(bad)
    with pytest.raises(DataError, match="at least one difference"):
        signed_rank_p([])


def test_E3_pairs_by_key_never_by_position():
    reference = {(0, 0): 0.5, (1, 0): 0.6, (2, 0): 0.7, (3, 0): 0.8}
    better = {(3, 0): 0.81, (1, 0): 0.61, (0, 0): 0.51}
    pairs = pair(better, reference)
    assert pairs.pools == (0, 1, 3)
    assert pairs.differences.tolist() == [0.01, 0.01, 0.01]
    assert pairs.lacking == ((2, 0),)
    assert pairs.unmatched == ()
    by_position = [a - b for a, b in zip(better.values(), reference.values(), strict=False)]
    assert np.std(by_position) > 0.1


def test_E3_orientation_a_dominated_arm_has_negative_differences():
    reference = {(p, 0): 0.5 + p / 10 for p in range(3)}
    dominated = {key: value - 0.1 for key, value in reference.items()}
    assert (pair(dominated, reference).differences < 0).all()
    assert pair(dominated, reference).differences.tolist() == (-pair(reference, dominated).differences).tolist()


def test_seeds_are_averaged_inside_a_pool_and_only_shared_seeds_count():
    scores = {(0, 0): 0.5, (0, 1): 0.7, (1, 0): 0.4, (1, 7): 0.9}
    reference = {(0, 0): 0.4, (0, 1): 0.4, (1, 0): 0.5, (1, 8): 0.1}
    pairs = pair(scores, reference)
    assert pairs.differences.tolist() == pytest.approx([0.2, -0.1])
    assert (pairs.lacking, pairs.unmatched) == (((1, 8),), ((1, 7),))


def test_rounding_noise_becomes_neither_a_rank_nor_a_variance():
    noisy = {(0, 0): 0.1 + 0.2, (1, 0): 0.3, (2, 0): 0.3}
    exact = {(0, 0): 0.3, (1, 0): 0.3, (2, 0): 0.3}
    assert pair(noisy, exact).differences.tolist() == [0, 0, 0]


# protocol: power of the two-sided paired t test at 5 %
POWER = {
    3: (0.08, 0.13, 0.18, 0.32, 0.47), 5: (0.14, 0.28, 0.40, 0.71, 0.91), 8: (0.23, 0.50, 0.68, 0.95, 1),
    10: (0.29, 0.62, 0.80, 0.99, 1), 20: (0.56, 0.92, 0.99, 1, 1), 50: (0.93, 1, 1, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("pools", POWER)
def test_power_equals_the_published_table(pools):
    found = [float(power(d_z, pools)) for d_z in (0.5, 0.8, 1.0, 1.5, 2.0)]
    assert found == pytest.approx(POWER[pools], abs=0.00501)


def test_power_equals_simulation():
    d = np.random.default_rng(0).normal(0.8, 1, (20_000, 8))
    rejected = (stats.ttest_1samp(d, 0, axis=1).pvalue < 0.01).mean()
    assert float(power(0.8, 8, alpha=0.01)) == pytest.approx(rejected, abs=0.012)


def test_pools_for_power_equals_the_published_counts():
    assert [pools_for_power(d) for d in (0.3, 0.5, 0.8, 1, 1.5, 2)] == [90, 34, 15, 10, 6, 5]
    assert pools_for_power(0.05) is None
    assert pools_for_power(-1.0) == 10


def test_pools_for_width_is_the_first_that_fits():
    pools = pools_for_width(0.01, 0.005)
    assert pools is not None

    def half(count):
        return stats.t.ppf(0.975, count - 1) * 0.01 / math.sqrt(count)

    assert half(pools) < 0.005 <= half(pools - 1)
    assert pools_for_width(0.0001, 0.005, at_least=10) == 10
    assert pools_for_width(0.01, 0.0) is None
    assert pools_for_width(1.0, 0.001) is None
