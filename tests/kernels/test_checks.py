"""Fused checks of rows against the checks that name them."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from querist.arrays import require_finite, require_probabilities
from querist.errors import DataError
from querist.kernels import checks
from querist.kernels.workers import workers


def passes(check, x):
    try:
        check(x, "x")
    except DataError:
        return False
    return True


@given(
    arrays(np.float64, (3, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, -1e-7, -2e-6, 2.6e-1, np.nan, np.inf])),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_say_what_the_slow_checks_say(x, dtype):
    x = x.astype(dtype)
    assert checks.all_finite(x) == passes(require_finite, x)
    assert checks.all_probabilities(x) == passes(require_probabilities, x)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -0.5, 0.9])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_find_one_entry_anywhere(wrong, dtype, monkeypatch):
    monkeypatch.setattr(checks, "BLOCK", 50)
    p = np.full((60, 8), 0.125, dtype)
    with workers(2):
        assert checks.all_finite(p)
        assert checks.all_probabilities(p)
        for row, column in ((0, 0), (31, 5), (59, 7)):
            q = p.copy()
            q[row, column] = wrong
            assert not checks.all_probabilities(q)
            assert checks.all_finite(q) == np.isfinite(wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_negative_entry_is_found_where_the_sum_is_right(dtype):
    p = np.array([[0.25, 0.75, 0.0], [-2e-6, 0.5, 0.5], [0.0, 0.0, 1.0]], dtype)
    assert not checks.all_probabilities(p)
    assert checks.all_probabilities(np.where(p < 0, dtype(-5e-7), p))


def test_are_never_less_strict_than_the_slow_check():
    for total in 1.0 + np.array([-1.1e-3, -1e-3, -9.9e-4, 9.9e-4, 1e-3, 1.1e-3]):
        p = np.array([[total / 2, total / 2]])
        assert checks.all_probabilities(p) <= passes(require_probabilities, p)
    assert checks.all_probabilities(np.array([[0.5, 0.5 + 9.9e-4]]))


@pytest.mark.parametrize(
    "x", [np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(3), np.zeros((2, 2, 2)), np.ones((2, 1), int)]
)
def test_leave_what_has_no_rows_of_numbers_to_the_slow_check(x):
    assert not checks.all_finite(x)
    assert not checks.all_probabilities(x)
