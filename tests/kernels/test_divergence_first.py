"""Farthest-first traversal under the symmetric Kullback-Leibler divergence."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import rel_entr

from querist.kernels.divergence_first import divergence_first
from querist.kernels.workers import workers

FLOOR = 1e-6


def apart(p, q):
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return 0.5 * ((p - q) * (np.log(p) - np.log(q))).sum()


def naive(p, centres, open_N, tie, b):
    covered, rows, gaps = list(centres), [], []
    for _ in range(b):
        near = {i: min((apart(p[i], p[j]) for j in covered), default=np.inf) for i in np.flatnonzero(open_N)}
        for i in rows:
            near.pop(i, None)
        best = max(near.values())
        row = min((i for i, gap in near.items() if gap >= best - 1e-12), key=lambda i: tie[i])
        rows, gaps, covered = [*rows, row], [*gaps, best], [*covered, row]
    return rows, gaps


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(2, 7), st.integers(0, 4), st.sampled_from([0.1, 1.0]))
def test_equals_brute_force(seed, c, known, alpha):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(c, alpha), size=12)
    p[5] = p[2]
    open_N = np.ones(12, bool)
    centres = rng.choice(12, known, replace=False)
    open_N[centres] = False
    tie = rng.permutation(12).astype(np.uint64)
    b = min(6, int(open_N.sum()))
    rows, gap = divergence_first(p, centres, open_N, tie, b, FLOOR)
    expected, gaps = naive(p, centres, open_N, tie, b)
    assert rows.tolist() == expected
    assert gap == pytest.approx(gaps, rel=1e-9, abs=1e-12)


def test_is_the_mean_of_both_divergences():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    _, gap = divergence_first(p, np.array([0]), np.array([False, True]), np.arange(2, dtype=np.uint64), 1, FLOOR)
    assert gap[0] == pytest.approx((rel_entr(p[0], p[1]).sum() + rel_entr(p[1], p[0]).sum()) / 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_zeros_are_finite_and_equal_rows_are_at_zero(dtype):
    p = np.eye(3, dtype=dtype)[[0, 0, 1, 1, 2]]
    rows, gap = divergence_first(p, np.array([0]), np.arange(5) > 0, np.arange(5, dtype=np.uint64), 4, FLOOR)
    assert rows.tolist() == [2, 4, 1, 3]
    assert gap.tolist() == [pytest.approx(-np.log(FLOOR), rel=1e-4)] * 2 + [0.0, 0.0]


def test_threads_change_nothing():
    p = np.random.default_rng(0).dirichlet(np.ones(10), size=9000)
    arguments = (p, np.arange(50), np.arange(9000) >= 50, np.arange(9000, dtype=np.uint64), 20, FLOOR)
    rows, gap = divergence_first(*arguments)
    with workers(3):
        again = divergence_first(*arguments)
    assert again[0].tolist() == rows.tolist()
    assert again[1].tolist() == gap.tolist()
