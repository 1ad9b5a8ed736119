"""Mean curves and difference curves against pandas and scipy."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from querist.analysis.bands import MOST_BUDGETS, budgets_of, difference_curves, mean_curves
from querist.analysis.curves import Curve, Run


def runs(pools=6, seeds=2, arms=("random", "margin"), n=(10.0, 20.0, 50.0)):
    rng = np.random.default_rng(0)
    return {
        Run(arm, pool, seed): Curve(np.array(n), rng.random(len(n)))
        for arm in arms for pool in range(pools) for seed in range(seeds)
    }  # fmt: skip


def pool_means(curves, arm, at):
    return np.array([np.mean([curves[Run(arm, pool, seed)].value[at] for seed in range(2)]) for pool in range(6)])


def test_mean_curves_are_t_intervals_over_pools_of_seed_means():
    curves = runs()
    table = mean_curves(curves).set_index(["arm", "n_labels"])
    for arm in ("random", "margin"):
        for at, n in enumerate((10.0, 20.0, 50.0)):
            means = pool_means(curves, arm, at)
            row = table.loc[(arm, n)]
            low, high = stats.t.interval(0.95, 5, means.mean(), stats.sem(means))
            assert (row["mean"], row["lower"], row["upper"]) == pytest.approx((means.mean(), low, high))
            assert row["pools"] == 6


def test_difference_curves_are_paired():
    curves = runs()
    table = difference_curves(curves, "random").set_index(["arm", "n_labels"])
    assert set(table.index.get_level_values("arm")) == {"margin"}
    for at, n in enumerate((10.0, 20.0, 50.0)):
        d = pool_means(curves, "margin", at) - pool_means(curves, "random", at)
        low, high = stats.t.interval(0.95, 5, d.mean(), stats.sem(d))
        assert table.loc[("margin", n), ["difference", "lower", "upper"]].tolist() == pytest.approx(
            [d.mean(), low, high]
        )


def test_difference_curves_interpolate_to_common_budgets():
    curves = {
        Run("random", 0, 0): Curve(np.array([10.0, 30.0]), np.array([0.0, 0.2])),
        Run("margin", 0, 0): Curve(np.array([10.0, 20.0, 40.0]), np.array([0.5, 0.5, 0.5])),
    }
    table = difference_curves(curves, "random")
    assert table["n_labels"].tolist() == [10, 20, 30]
    assert table["difference"].tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert table["lower"].isna().all()


def test_one_pool_has_a_mean_and_no_band():
    table = mean_curves(runs(pools=1, seeds=1))
    assert table["mean"].notna().all()
    assert table["lower"].isna().all()


def test_an_arm_without_partners_has_no_difference_curve():
    curves = runs(pools=2, seeds=1) | {Run("other", 9, 0): Curve(np.array([10.0, 50.0]), np.zeros(2))}
    assert set(difference_curves(curves, "random")["arm"]) == {"margin"}


def test_many_budgets_are_thinned_and_keep_both_ends():
    curves = {Run("a", i, 0): Curve(np.arange(0.0, 500.0) + i / 10, np.zeros(500)) for i in range(3)}
    budgets = budgets_of(curves)
    assert len(budgets) == MOST_BUDGETS
    assert (budgets[0], budgets[-1]) == (0.2, 499.0)
    assert all(b > a for a, b in itertools.pairwise(budgets))
    assert not any(math.isnan(b) for b in budgets)
