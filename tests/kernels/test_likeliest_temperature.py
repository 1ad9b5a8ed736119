"""The likeliest temperature: a grid search by a plain loop, and rows no temperature can save."""

import numpy as np
from hypothesis import given, strategies as st

from querist.kernels.calibration import likeliest_temperature, tempered

GRID = np.logspace(-1, 1.5, 26)


@given(st.integers(0, 400), st.floats(0.2, 8.0))
def test_it_is_the_minimum_over_the_grid(seed, scale):
    rng = np.random.default_rng(seed)
    z = scale * rng.normal(size=(12, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = rng.integers(3, size=12)
    loss = [-np.log(tempered(p, t)[np.arange(12), y]).mean() for t in GRID]
    got = likeliest_temperature(p, y, GRID)
    assert loss[int(np.flatnonzero(got == GRID)[0])] <= min(loss) + 1e-9


def test_confident_mistakes_heat_and_modest_successes_cool():
    sure = np.array([[0.99, 0.01], [0.99, 0.01], [0.01, 0.99]])
    assert likeliest_temperature(sure, np.array([0, 1, 1]), GRID) > 1
    modest = np.array([[0.6, 0.4], [0.6, 0.4], [0.4, 0.6]])
    assert likeliest_temperature(modest, np.array([0, 0, 1]), GRID) == GRID[0]


def test_n1_a_true_class_of_probability_0_is_left_out():
    p = np.array([[1.0, 0.0], [0.7, 0.3], [0.2, 0.8]])
    y = np.array([1, 0, 1])
    assert likeliest_temperature(p, y, GRID) == likeliest_temperature(p[1:], y[1:], GRID)
    assert likeliest_temperature(p[:1], y[:1], GRID) == 1.0
    assert likeliest_temperature(p[:0], y[:0], GRID) == 1.0
