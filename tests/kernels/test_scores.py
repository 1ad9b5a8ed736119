"""Scores of probability rows against full-sort and textbook references."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import xlogy

from querist.kernels import scores
from querist.kernels.workers import workers

ALL = [scores.entropy, scores.margin, scores.least_confidence]


@st.composite
def probabilities(draw, most_classes=6):
    """Rows that sum to one, with exact zeros, exact ones and ties among them."""
    c, n = draw(st.integers(2, most_classes)), draw(st.integers(1, 8))
    counts = np.array(draw(st.lists(st.lists(st.integers(0, 4), min_size=c, max_size=c), min_size=n, max_size=n)))
    counts[counts.sum(axis=1) == 0, 0] = 1
    return counts / counts.sum(axis=1, keepdims=True)


@given(probabilities())
def test_equal_the_textbook(p):
    ordered = np.sort(p, axis=1)[:, ::-1]
    np.testing.assert_allclose(scores.entropy(p), -xlogy(p, p).sum(axis=1), atol=1e-14)
    np.testing.assert_array_equal(scores.margin(p), -(ordered[:, 0] - ordered[:, 1]))
    np.testing.assert_array_equal(scores.least_confidence(p), 1 - ordered[:, 0])


@given(probabilities())
def test_stay_in_range(p):
    c = p.shape[1]
    assert ((scores.entropy(p) >= 0) & (scores.entropy(p) <= np.log(c) + 1e-12)).all()
    assert ((scores.margin(p) >= -1) & (scores.margin(p) <= 0)).all()
    assert ((scores.least_confidence(p) >= 0) & (scores.least_confidence(p) <= 1 - 1 / c + 1e-12)).all()


@pytest.mark.parametrize("score", ALL)
@given(p=probabilities(), seed=st.integers(0, 99))
def test_do_not_depend_on_the_order_of_classes(score, p, seed):
    order = np.random.default_rng(seed).permutation(p.shape[1])
    np.testing.assert_allclose(score(p[:, order]), score(p), atol=1e-14)


@given(probabilities(most_classes=2))
def test_order_rows_alike_with_two_classes(p):
    # Rounded, for the three compute one quantity by different routes.
    ranks = [np.unique(score(p).round(12), return_inverse=True)[1].tolist() for score in ALL]
    assert ranks[0] == ranks[1] == ranks[2]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_certain_rows_score_nothing_and_uniform_rows_most(dtype):
    p = np.array([[0, 1, 0, 0], [0.25] * 4, [0, 0.5, 0.5, 0], [1, 0, 0, 0]], dtype)
    entropy = scores.entropy(p)
    assert np.isfinite(entropy).all()
    assert entropy.tolist() == pytest.approx([0, np.log(4), np.log(2), 0], abs=1e-12)
    assert entropy[0] == entropy[3] == 0
    assert scores.margin(p).tolist() == [-1, 0, 0, -1]
    assert scores.least_confidence(p).tolist() == [0, 0.75, 0.5, 0]


def test_entropy_takes_probabilities_a_rounding_below_zero_for_zero():
    assert scores.entropy(np.array([[1.0, -1e-9]])).tolist() == [0]


def test_margin_ignores_mass_moved_among_the_lower_ranks():
    p = np.array([[0.5, 0.3, 0.2, 0.0], [0.5, 0.3, 0.1, 0.1]])
    assert scores.margin(p)[0] == scores.margin(p)[1]
    assert scores.entropy(p)[0] != scores.entropy(p)[1]


@pytest.mark.parametrize("score", ALL)
def test_U4_blocks_change_nothing(score, monkeypatch):
    p = np.random.default_rng(0).dirichlet(np.ones(7), size=101).astype(np.float32)
    whole = score(p)
    for block in (1, 10, 100, 101):
        monkeypatch.setattr(scores, "BLOCK", block)
        with workers(1 + block % 3):
            np.testing.assert_array_equal(score(p), whole)


@pytest.mark.parametrize("score", ALL)
def test_return_float64_and_leave_the_input_alone(score):
    p = np.array([[0.75, 0.25]], np.float32)
    p.flags.writeable = False
    assert score(p).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("c", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 1001])
def test_B1_one_pass_equals_three_and_the_textbook(dtype, c):
    p = np.random.default_rng(c).dirichlet(np.full(c, 0.3), size=200).astype(dtype)
    p[:c][: len(p)] = np.eye(c, dtype=dtype)[: len(p)]
    together = scores.uncertainty(p)
    for values, score in zip(together, ALL, strict=True):
        np.testing.assert_array_equal(values, score(p))
        assert values.dtype == np.float64
    exact = p.astype(np.float64)
    ordered = np.sort(np.column_stack([np.zeros(200), exact]), axis=1)
    np.testing.assert_allclose(together.entropy_n, -xlogy(exact, exact).sum(axis=1), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(together.margin_n, ordered[:, -2] - ordered[:, -1])
    np.testing.assert_array_equal(together.least_confidence_n, 1 - ordered[:, -1])
    assert (together.entropy_n[: min(c, 200)] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("c", [8, 16, 19, 40, 64])
def test_N3_ties_at_every_pair_of_places(dtype, c):
    # Every two classes share the largest value once, and once one of them is a little less likely.
    one, other = np.nonzero(~np.eye(c, dtype=np.bool_))
    p = np.full((len(one), c), 0.25 / c, dtype)
    p[np.arange(len(p)), one], p[np.arange(len(p)), other] = 0.375, 0.375
    assert (scores.margin(p) == 0).all()
    p[np.arange(len(p)), other] = 0.3125
    assert (scores.margin(p) == -0.0625).all()
    assert (scores.least_confidence(p) == 0.625).all()


def test_rounding_below_zero_counts_as_zero_in_wide_rows():
    p = np.full((1, 40), -1e-9, np.float32)
    p[0, 17] = 1.0
    assert scores.margin(p).tolist() == [-1]
    assert scores.least_confidence(p).tolist() == [0]


def test_N1_logarithms_are_right_over_the_whole_range():
    p = np.concatenate([10.0 ** -np.arange(0, 307, 0.25), np.linspace(0.1, 1.0, 999), [0.5**0.5, 2.0**-0.5, 0.5, 0.25]])
    p = np.concatenate([p, np.nextafter(p, 0), np.nextafter(p[p < 1], 1)])
    # One column, so that nothing hides an error: entropy is -p log p.
    np.testing.assert_allclose(scores.entropy(p[:, None]), -xlogy(p, p), rtol=1e-15, atol=0)
