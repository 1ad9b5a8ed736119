"""Spearman's correlation against scipy, its bootstrap against resamples made one by one, and what has none."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from querist.analysis.correlation import correlation, mid_ranks
from querist.errors import DataError


def generator():
    return np.random.default_rng(5)


def numbers(n=30, seed=0, levels=None):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = 0.6 * x + rng.normal(size=n)
    return (np.round(levels * x), y) if levels else (x, y)


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_is_that_of_scipy(levels):
    x, y = numbers(levels=levels)
    found = correlation(x, y, generator())
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert found.pearson == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert found.n == 30
    assert found.lower < found.rho < found.upper


@pytest.mark.parametrize("levels", [None, 1])
def test_interval_is_that_of_resamples_made_one_by_one(levels):
    x, y = numbers(n=12, levels=levels)
    found = correlation(x, y, generator(), resamples=60)
    counts = generator().multinomial(12, np.full(12, 1 / 12), size=60)
    drawn = []
    for count in counts:
        rows = np.repeat(np.arange(12), count)
        if len(set(x[rows])) > 1 and len(set(y[rows])) > 1:
            drawn.append(np.corrcoef(stats.rankdata(x[rows]), stats.rankdata(y[rows]))[0, 1])
    assert (found.lower, found.upper) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-10)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_mid_ranks_are_those_of_scipy(values):
    assert mid_ranks(values).tolist() == stats.rankdata(values).tolist()


def test_order_alone_counts_and_a_sign_turns_it():
    x, y = numbers()
    found = correlation(x, y, generator())
    assert correlation(np.exp(x), y**3, generator())[:3] == pytest.approx(found[:3], abs=1e-12)
    turned = correlation(-x, y, generator())
    assert turned.rho == pytest.approx(-found.rho, abs=1e-12)
    assert correlation(x, x, generator())[:3] == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("x", [np.full(9, 0.1), np.full(9, 1e9), np.zeros(9)])
def test_equal_numbers_have_no_correlation(x):
    found = correlation(x, np.arange(9.0), generator())
    assert all(np.isnan(found[:4]))
    assert np.isnan(correlation([1.0], [2.0], generator()).rho)


def test_refuses_what_is_no_pair_of_numbers():
    for x, y in (([1.0, np.nan], [1.0, 2.0]), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(DataError, match="two finite numbers"):
            correlation(x, y, generator())
