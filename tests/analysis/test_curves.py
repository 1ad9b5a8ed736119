"""Learning curves: areas against sums by hand, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from querist.analysis.curves import Curve, Run, area, common_range, curves_of, unfinished, value_at
from querist.errors import DataError, UnknownNameError

GEOMETRIC = [10, 20, 40, 80]
HEIGHTS = [0.2, 0.4, 0.5, 0.9]


def rounds(n=(10, 20, 40), value=(0.1, 0.3, 0.5), arm="random", pool=0, seed=0, metric="accuracy", **columns):
    table = pd.DataFrame({"n_labels": n, "value": value})
    return table.assign(
        study="s", arm=arm, dataset="d", pool=pool, seed=seed, checkpoint=range(len(n)), metric=metric, **columns
    )


@st.composite
def curves(draw, log=False):
    steps = draw(st.lists(st.integers(1, 50), min_size=2, max_size=7))
    n = np.cumsum(steps).astype(float) + (0 if log else draw(st.integers(-1, 5)))
    value = draw(st.lists(st.floats(0, 1), min_size=len(n), max_size=len(n)))
    return n, np.array(value)


def area_by_hand(x, y, low, high):
    """Cut every segment at the bounds and add up its two ends' mean times its width."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(zip(x, y, strict=True), list(zip(x, y, strict=True))[1:], strict=False):
        a, b = max(x0, low), min(x1, high)
        if b > a:
            at = [y0 + (y1 - y0) * (p - x0) / (x1 - x0) for p in (a, b)]
            total += (at[0] + at[1]) / 2 * (b - a)
    return total / (high - low)


def test_E4_area_on_a_geometric_grid_is_analytic_and_not_that_of_equal_steps():
    exact = (0.3 * 10 + 0.45 * 20 + 0.7 * 40) / 70
    equal_steps = (0.3 + 0.45 + 0.7) / 3
    assert area(GEOMETRIC, HEIGHTS) == pytest.approx(exact, abs=1e-15)
    assert abs(area(GEOMETRIC, HEIGHTS) - equal_steps) > 0.08


def test_E4_log_area_weights_doublings_equally():
    assert area(GEOMETRIC, HEIGHTS, log=True) == pytest.approx((0.3 + 0.45 + 0.7) / 3, abs=1e-15)


@given(curves(), st.floats(0, 1), st.floats(0, 1))
def test_area_equals_the_sum_by_hand_between_any_bounds(curve, a, b):
    n, value = curve
    low, high = sorted(n[0] + np.array([a, b]) * (n[-1] - n[0]))
    if high - low > 1e-6:
        assert area(n, value, low, high) == pytest.approx(area_by_hand(n, value, low, high), abs=1e-9)


@given(curves(log=True))
def test_log_area_equals_the_sum_by_hand_over_log2(curve):
    n, value = curve
    x = [math.log2(v) for v in n]
    assert area(n, value, log=True) == pytest.approx(area_by_hand(x, value, x[0], x[-1]), abs=1e-9)


@given(curves(), st.floats(0.01, 0.99))
def test_more_checkpoints_on_the_same_line_change_nothing(curve, share):
    n, value = curve
    between = n[0] + share * (n[-1] - n[0])
    if between in n:
        return
    finer = np.sort(np.append(n, between))
    assert area(finer, np.interp(finer, n, value)) == pytest.approx(area(n, value), abs=1e-9)


@given(curves(log=True), st.integers(2, 9))
def test_area_ignores_the_unit_of_the_budget(curve, factor):
    n, value = curve
    for log in (False, True):
        assert area(n * factor, value, log=log) == pytest.approx(area(n, value, log=log), abs=1e-9)


def test_area_over_a_split_is_the_width_weighted_mean():
    left, right = area(GEOMETRIC, HEIGHTS, 10, 30), area(GEOMETRIC, HEIGHTS, 30, 80)
    assert (20 * left + 50 * right) / 70 == pytest.approx(area(GEOMETRIC, HEIGHTS), abs=1e-15)


@pytest.mark.parametrize(
    ("n", "value", "bounds", "message"),
    [
        ([10], [0.5], (None, None), "at least two checkpoints, got 1"),
        ([], [], (None, None), "at least two checkpoints, got 0"),
        ([10, 20], [0.5], (None, None), "one value per checkpoint"),
        ([20, 10], [0.5, 0.6], (None, None), "strictly increasing"),
        ([10, 20], [0.5, math.nan], (None, None), "finite"),
        ([10, 20], [0.5, 0.6], (5, 20), "inside the curve"),
        ([10, 20], [0.5, 0.6], (15, 15), "inside the curve"),
    ],
)
def test_area_refuses(n, value, bounds, message):
    with pytest.raises(DataError, match=message):
        area(n, value, *bounds)


def test_log_area_refuses_a_checkpoint_without_labels():
    with pytest.raises(DataError, match="at least one label at every checkpoint, got 0"):
        area([0, 10], [0.1, 0.5], log=True)


def test_value_at_is_linear_in_the_budget_and_never_extrapolates():
    assert value_at(GEOMETRIC, HEIGHTS, [10, 15, 30, 80]).tolist() == pytest.approx([0.2, 0.3, 0.45, 0.9])
    with pytest.raises(DataError, match=r"inside the curve, 10\.\.80 labels, got 81"):
        value_at(GEOMETRIC, HEIGHTS, [81])


def test_curves_of_reads_by_key_whatever_the_order_of_the_rows():
    table = pd.concat([rounds(arm="b", pool=1), rounds(arm="a", value=(0.2, 0.4, 0.6)), rounds(metric="nll")])
    shuffled = table.sample(frac=1, random_state=np.random.default_rng(0))
    found = curves_of(shuffled, "accuracy")
    assert list(found) == [Run("a", 0, 0), Run("b", 1, 0)]
    assert found[Run("a", 0, 0)].n.tolist() == [10, 20, 40]
    assert found[Run("a", 0, 0)].value.tolist() == [0.2, 0.4, 0.6]


def test_E11_missing_values_are_refused_and_never_averaged_as_zero():
    with pytest.raises(
        DataError, match=r"1 values of 'accuracy' are not finite, first at arm 'random', pool 0, seed 0"
    ):
        curves_of(rounds(value=(0.1, math.nan, 0.5)), "accuracy")


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (rounds().drop(columns="pool"), DataError, "rounds lacks the columns pool"),
        (pd.concat([rounds(), rounds(arm="b").assign(dataset="e")]), DataError, "one dataset, got 'd', 'e'"),
        (pd.concat([rounds(), rounds(arm="b").assign(study="t")]), DataError, "one study, got 's', 't'"),
        (pd.concat([rounds(), rounds()]), DataError, "stored more than once"),
        (rounds(value=(10.0, 30.0, 50.0)), DataError, r"outside 0\.\.1 \(10\.0, 30\.0, 50\.0\).*not percentages"),
        (rounds(n=(10, 10, 20)), DataError, "labels to grow"),
        (rounds(metric="accurcy"), UnknownNameError, "Did you mean 'accurcy'"),
    ],
)
def test_curves_of_refuses(table, error, message):
    with pytest.raises(error, match=message):
        curves_of(table, "accuracy")


def test_nll_may_exceed_one():
    assert curves_of(rounds(metric="nll", value=(2.3, 1.5, 0.9)), "nll")[Run("random", 0, 0)].value[0] == 2.3


def test_unfinished_runs_are_those_shorter_than_their_own_arm():
    long, short = Curve(np.array([1.0, 2, 3]), np.zeros(3)), Curve(np.array([1.0, 2]), np.zeros(2))
    single = Curve(np.array([1.0]), np.zeros(1))
    curves = {Run("a", 0, 0): long, Run("a", 1, 0): short, Run("b", 0, 0): short, Run("c", 0, 0): single}
    assert unfinished(curves) == {
        Run("a", 1, 0): "it has 2 of 3 checkpoints", Run("c", 0, 0): "it has 1 of 2 checkpoints",
    }  # fmt: skip


def test_common_range_is_the_intersection_and_names_who_is_in_the_way():
    def curve(*n):
        return Curve(np.array(n, dtype=float), np.zeros(len(n)))

    assert common_range({Run("a", 0, 0): curve(5, 50), Run("b", 0, 0): curve(10, 40)}) == (10, 40)
    with pytest.raises(DataError, match=r"arm 'a', pool 0, seed 0 ends at 9 labels.*arm 'b'.*starts at 10"):
        common_range({Run("a", 0, 0): curve(5, 9), Run("b", 0, 0): curve(10, 40)})
    with pytest.raises(DataError, match="No run has two checkpoints"):
        common_range({})
