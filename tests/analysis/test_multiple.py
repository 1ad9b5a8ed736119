"""Holm's correction against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.analysis.multiple import holm
from querist.errors import DataError

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def rejected_step_by_step(p, alpha):
    """Holm's procedure as he wrote it: go on while the smallest of those left is at most alpha / how many are left."""
    left, rejected = dict(enumerate(p)), set()
    while left:
        best = min(left, key=lambda i: left[i])
        if left[best] > alpha / len(left):
            break
        rejected.add(best)
        del left[best]
    return rejected


@given(p_values, st.floats(0.001, 0.999))
def test_adjusted_values_reject_exactly_what_the_procedure_rejects(p, alpha):
    adjusted = holm(p)
    if np.abs(adjusted - alpha).min() > 1e-9:
        assert set(np.flatnonzero(adjusted <= alpha)) == rejected_step_by_step(p, alpha)


@given(p_values)
def test_adjusted_values_keep_the_order_lie_between_raw_and_bonferroni_and_do_not_exceed_one(p):
    raw, adjusted = np.array(p), holm(p)
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, raw * len(p)) + 1e-15).all()


@given(p_values, st.randoms(use_true_random=False))
def test_order_of_the_arms_does_not_matter(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm([p[i] for i in order]).tolist() == holm(p)[order].tolist()


def test_example_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_comparison_that_could_not_be_made_still_counts():
    adjusted = holm([0.01, math.nan])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])


def test_refuses_what_is_no_probability():
    with pytest.raises(DataError, match=r"p-values in 0\.\.1"):
        holm([0.5, 1.2])
