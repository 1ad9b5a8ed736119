"""Lengths of last-layer gradients."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels.gradient_length import expected_residual, lengths


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 12), st.sampled_from([0.02, 0.5, 20.0]))
def test_is_the_expectation_of_explicit_gradients(seed, c, alpha):
    rng = np.random.default_rng(seed)
    p, z = rng.dirichlet(np.full(c, alpha), size=20), rng.normal(size=(20, 3))
    value, bias = expected_residual(p) * lengths(z), expected_residual(p) * lengths(z, more=1.0)
    for i in range(20):
        explicit = [np.outer(p[i] - np.eye(c)[y], z[i]) for y in range(c)]
        assert value[i] == pytest.approx(sum(p[i, y] * np.linalg.norm(g) for y, g in enumerate(explicit)), abs=1e-12)
        longer = [np.outer(p[i] - np.eye(c)[y], np.append(z[i], 1)) for y in range(c)]
        assert bias[i] == pytest.approx(sum(p[i, y] * np.linalg.norm(g) for y, g in enumerate(longer)), abs=1e-12)


@pytest.mark.parametrize("c", [2, 5, 100])
def test_range(c):
    torn = expected_residual(np.full((1, c), 1 / c))
    assert torn == pytest.approx([np.sqrt(1 - 1 / c)])
    assert expected_residual(np.eye(c)).tolist() == [0.0] * c
    assert (expected_residual(np.random.default_rng(0).dirichlet(np.ones(c), size=500)) <= torn + 1e-12).all()


def test_rows_that_are_all_but_certain_keep_their_order():
    """1 - p of a probability next to 1 has lost its digits; the sum of the others has not."""
    rest = 10.0 ** -np.arange(4, 30)
    p = np.stack([1.0 - rest, rest], axis=1)
    value = expected_residual(p)
    assert (np.diff(value) < 0).all()
    assert value == pytest.approx(2 * np.sqrt(2) * rest, rel=1e-3, abs=0)


def test_threads_and_precision():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=50).astype(np.float32)
    assert expected_residual(p) == pytest.approx(expected_residual(p.astype(np.float64)), rel=1e-12)
    assert lengths(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [5.0, 0.0]
