"""Inner products and softmax: right, and the same bits whatever stands beside a row."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels.inner import BLOCK, scores, softmax


@given(st.integers(0, 200), st.integers(1, 12), st.integers(1, 40), st.sampled_from([np.float32, np.float64]))
def test_equals_the_matrix_product(n, m, d, dtype):
    rng = np.random.default_rng(n)
    x, w = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(m, d))
    z = scores(x, w)
    assert z.dtype == np.float64
    np.testing.assert_allclose(z, x.astype(np.float64) @ w.T, atol=1e-12)


@given(st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=2 * BLOCK), st.integers(1, 30))
def test_a_row_has_the_same_bits_in_any_company(rows, d):
    rng = np.random.default_rng(d)
    x, w = rng.normal(size=(3 * BLOCK + 1, d)), rng.normal(size=(5, d))
    whole = scores(x, w)
    assert np.array_equal(scores(x[rows], w), whole[rows])
    assert np.array_equal(softmax(whole[rows]), softmax(whole)[rows])


def test_equal_vectors_give_equal_columns():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(4, 13))[[0, 1, 0, 2, 3, 0, 1]]
    z = scores(rng.normal(size=(100, 13)), w)
    assert np.array_equal(z[:, 0], z[:, 2])
    assert np.array_equal(z[:, 0], z[:, 5])
    assert np.array_equal(z[:, 1], z[:, 6])


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_changes_nothing(order):
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(70, 9)), rng.normal(size=(3, 9))
    assert np.array_equal(scores(np.array(x, order=order), np.array(w, order=order)), scores(x, w))


def test_softmax():
    z = np.array([[0.0, np.log(3.0), -np.inf], [-np.inf, 5.0, -np.inf], [1e4, -1e4, 1e4]])
    np.testing.assert_allclose(softmax(z), [[0.25, 0.75, 0.0], [0, 1, 0], [0.5, 0, 0.5]], rtol=1e-15)
    assert softmax(z)[0, 2] == 0.0
