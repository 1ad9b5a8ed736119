"""Null simulations of every test that yields a p-value or a verdict: none may reject more often than it says.

Fixed seeds: a failure is a defect, never bad luck. The bound is the nominal level plus three standard errors of the
simulation.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from querist.analysis.judge import judge
from querist.analysis.paired import paired_test

LEVEL = 0.05
SIMULATIONS = 2000


def bound(count: int, level: float = LEVEL) -> float:
    return level + 3 * np.sqrt(level * (1 - level) / count)


def gaussian(rng, shape):
    return rng.normal(0, 0.01, shape)


def skewed(rng, shape):
    return rng.lognormal(-5, 1.0, shape)


def tied(rng, shape):
    """Accuracies counted on 250 test items: many ties and zeros among the differences."""
    return np.round(rng.normal(0.8, 0.008, shape) * 250) / 250


NOISES: list[Callable] = [gaussian, skewed, tied]


def scores_under_the_null(noise, rng, arms, pools):
    """AUBC ``(simulations, arms, pools)``: a pool's own level, plus noise that does not know the arm's name."""
    level = rng.normal(0, 0.03, (SIMULATIONS, 1, pools))
    scores = (0 if noise is tied else level) + noise(rng, (SIMULATIONS, arms, pools))
    return rng.permuted(scores, axis=1)  # labels of arms permuted within pools


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("pools", [5, 6, 10, 20])
def test_E1_single_tests_reject_a_true_null_at_most_as_often_as_they_say(noise, pools):
    rng = np.random.default_rng([pools, NOISES.index(noise)])
    scores = scores_under_the_null(noise, rng, 2, pools)
    tests = [paired_test(np.round(d, 12)) for d in scores[:, 1] - scores[:, 0]]
    for name in ("p_t", "p_wilcoxon"):
        p = np.array([getattr(t, name) for t in tests])
        assert (p <= LEVEL).mean() <= bound(SIMULATIONS), name
        assert (p <= 0.01).mean() <= bound(SIMULATIONS, 0.01), name
    covered = np.mean([t.lower <= 0 <= t.upper for t in tests])
    assert covered >= 1 - bound(SIMULATIONS)


@pytest.mark.parametrize(("pools", "freedom", "published"), [(3, 2, 0.1399), (50, 50, 0.1035)])
def test_E1_this_simulation_catches_the_published_mistakes(pools, freedom, published):
    """The t test with ddof = 0 and a one-sided quantile rejects 14.0 % and 10.4 % of true nulls."""
    d = np.random.default_rng(pools).normal(0, 1, (40_000, pools))
    t = np.abs(d.mean(axis=1)) / (d.std(axis=1, ddof=0) / np.sqrt(pools))
    rate = (t > stats.t.ppf(0.95, freedom)).mean()
    assert rate == pytest.approx(published, abs=3 * np.sqrt(published / 40_000))
    assert rate > bound(SIMULATIONS)
    assert np.mean([paired_test(x).p_t <= LEVEL for x in d[:SIMULATIONS]]) <= bound(SIMULATIONS)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("arms", "pools"), [(7, 5), (7, 8), (10, 10)])
def test_E2_any_false_verdict_among_all_arms_is_at_most_five_percent(noise, arms, pools):
    count = SIMULATIONS // 2
    rng = np.random.default_rng([arms, pools, NOISES.index(noise)])
    scores = scores_under_the_null(noise, rng, arms, pools)[:count]
    families, uncorrected = 0, 0
    for by_arm in scores:
        rulings = judge({str(i): np.round(s - by_arm[0], 12) for i, s in enumerate(by_arm[1:])}, rope=0.0)
        families += any(r.verdict in ("better", "worse") for r in rulings.values())
        uncorrected += any(r.test.p_t <= LEVEL for r in rulings.values())
    assert families / count <= bound(count)
    assert uncorrected / count > bound(count), "without correction this simulation must sound the alarm"


@pytest.mark.parametrize("pools", [5, 10])
def test_interval_covers_a_true_difference_as_often_as_it_says(pools):
    d = np.random.default_rng(pools).normal(0.021, 0.01, (SIMULATIONS, pools))
    covered = np.mean([t.lower <= 0.021 <= t.upper for t in map(paired_test, d)])
    assert covered == pytest.approx(0.95, abs=3 * np.sqrt(LEVEL * 0.95 / SIMULATIONS))


def test_a_real_improvement_is_found():
    """A pipeline that never rejects would pass everything above."""
    d = np.random.default_rng(1).normal(0.02, 0.01, (200, 10))
    null = np.random.default_rng(2).normal(0.0, 0.01, (200, 5, 10))
    found = [
        judge({"a": x, **{str(i): n for i, n in enumerate(ns)}}, rope=0.005) for x, ns in zip(d, null, strict=True)
    ]
    assert np.mean([r["a"].verdict == "better" for r in found]) > 0.95


@pytest.mark.parametrize("shift", [0.005, -0.005])
def test_equivalence_is_rarely_claimed_of_a_difference_at_the_border(shift):
    """Two one-sided statements at 2.5 % each."""
    d = np.random.default_rng(3).normal(shift, 0.002, (SIMULATIONS, 10))
    claimed = np.mean([judge({"a": x}, rope=0.005)["a"].verdict == "equivalent" for x in d])
    assert claimed <= bound(SIMULATIONS, 0.025)
