"""How differently a model answers for a row and for the labelled rows nearest to it."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import rel_entr

from querist.kernels import contrast as module
from querist.kernels.contrast import contrast
from querist.kernels.workers import workers

FLOOR = 1e-6


def make(seed, n=20, l=9, c=4, d=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + l, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    p = rng.dirichlet(np.full(c, 0.5), size=n + l)
    return p[:n], x[:n], p[n:], x[n:]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 12))
def test_equals_brute_force(seed, k):
    p, x, q, y = make(seed)
    value = contrast(p, x, q, y, k, FLOOR)
    for i in range(20):
        near = np.argsort(-(y @ x[i]), kind="stable")[:k]
        divergence = [rel_entr(q[j], np.maximum(p[i], FLOOR)).sum() for j in near]
        assert value[i] == pytest.approx(np.mean(divergence), rel=1e-4, abs=1e-5)


def test_with_all_labelled_rows_similarity_does_not_matter():
    p, x, q, y = make(1)
    every = contrast(p, x, q, y, 9, FLOOR)
    assert every == pytest.approx(contrast(p, x[::-1].copy(), q, y, 50, FLOOR))


def test_equally_similar_rows_are_taken_in_order():
    p, q = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    x, y = np.array([[1.0, 0.0]]), np.array([[0.6, 0.8], [0.6, -0.8], [0.6, 0.8]])
    assert contrast(p, x, q, y, 1, FLOOR) == pytest.approx([rel_entr(q[0], p[0]).sum()])
    assert contrast(p, x, q, y, 2, FLOOR) == pytest.approx([(rel_entr(q[0], p[0]) + rel_entr(q[1], p[0])).sum() / 2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_zeros_stay_finite_and_equal_answers_give_exactly_zero(dtype):
    _, x, _, y = make(2)
    p = np.tile(np.array([[1, 0, 0, 0]], dtype), (20, 1))
    assert contrast(p, x, p[:9], y, 3, FLOOR).tolist() == [0.0] * 20
    other = np.tile(np.array([[0, 1, 0, 0]], dtype), (9, 1))
    assert contrast(p, x, other, y, 3, FLOOR) == pytest.approx([-np.log(FLOOR)] * 20)


def test_blocks_and_threads_change_no_bit(monkeypatch):
    p, x, q, y = make(3, n=300, l=40)
    whole = contrast(p, x, q, y, 7, FLOOR)
    monkeypatch.setattr(module, "ENTRIES", 640)
    with workers(3):
        assert contrast(p, x, q, y, 7, FLOOR).tolist() == whole.tolist()
    order = np.random.default_rng(0).permutation(300)
    assert contrast(p[order], x[order], q, y, 7, FLOOR).tolist() == whole[order].tolist()
