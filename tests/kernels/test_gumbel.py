"""Gumbel draws: their law, and the probabilities they report."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chi2

from querist.kernels.gumbel import gumbel_top
from querist.seeds import Seed


def draw(log_weight, b, seed):
    ids = np.arange(len(log_weight))
    key = Seed(0).child("draw", seed).key()
    return gumbel_top(np.asarray(log_weight, float), key.uniform(ids), key.hash(ids), b)


def test_first_draw_is_in_proportion_to_the_weight():
    weight = np.array([1.0, 2.0, 4.0, 8.0, 0.5])
    counts = np.zeros(5)
    for seed in range(4000):
        counts[draw(np.log(weight), 1, seed)[0][0]] += 1
    expected = 4000 * weight / weight.sum()
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, 4)


def test_pairs_are_successive_draws_without_replacement():
    weight = np.array([1.0, 2.0, 5.0])
    counts = np.zeros((3, 3))
    for seed in range(4000):
        counts[tuple(draw(np.log(weight), 2, seed)[0])] += 1
    expected = 4000 * np.array(
        [[0 if i == j else weight[i] / 8 * weight[j] / (8 - weight[i]) for j in range(3)] for i in range(3)]
    )
    off = ~np.eye(3, dtype=bool)
    assert ((counts - expected)[off] ** 2 / expected[off]).sum() < chi2.isf(1e-6, 5)
    assert counts[~off].sum() == 0


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=9), st.data())
def test_reported_probabilities_are_those_of_each_draw(log_weight, data):
    b = data.draw(st.integers(1, len(log_weight)))
    rows, probability = draw(log_weight, b, data.draw(st.integers(0, 9)))
    weight = np.exp(np.array(log_weight))
    left = np.ones(len(weight), bool)
    for row, p in zip(rows, probability, strict=True):
        assert p == pytest.approx(weight[row] / weight[left].sum(), rel=1e-9)
        left[row] = False
    assert b < len(log_weight) or probability[-1] == 1


def test_extreme_weights_neither_overflow_nor_vanish():
    rows, probability = draw([0.0, 1e5, -1e5, 2e5], 4, 0)
    assert rows.tolist() == [3, 1, 0, 2]
    assert probability.tolist() == [1, 1, 1, 1]
