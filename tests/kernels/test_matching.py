"""Greedy matching of sums of gradients, beside gradients that are written out."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import nnls

from querist.kernels.matching import Products, gradient_sum, match, match_weighted, non_negative
from querist.progress import listening


def problem(n=30, c=3, d=4, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    a, z = rng.normal(size=(n, c)).astype(dtype), rng.normal(size=(n, d)).astype(dtype)
    return a, z, rng.permutation(n).astype(np.uint64)


def written(a, z):
    return np.einsum("nc,nd->ncd", a.astype(float), z.astype(float))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_products_are_those_of_gradients_written_out(dtype):
    a, z, tie = problem(n=5000, dtype=dtype)
    g, products, target = written(a, z), Products(a, z, tie), np.random.default_rng(1).normal(size=(3, 4))
    assert products.size_n == pytest.approx(np.square(g).sum((1, 2)))
    assert products.with_matrix(target) == pytest.approx((g * target).sum((1, 2)), abs=1e-9)
    assert products.with_row(7) == pytest.approx((g * g[7]).sum((1, 2)), abs=1e-9)
    assert products.apart(7) == pytest.approx(np.square(g - g[7]).sum((1, 2)), abs=1e-9)
    assert products.apart(7)[7] == 0.0
    rows = np.array([4, 1, 9])
    assert products.with_row(7, rows).tolist() == products.with_row(7)[rows].tolist()
    assert products.with_matrix(target, rows).tolist() == products.with_matrix(target)[rows].tolist()
    assert products.combined(rows, np.array([1.0, 0.5, 2.0])) == pytest.approx(g[4] + 0.5 * g[1] + 2 * g[9])
    assert gradient_sum(a, z) == pytest.approx(g.sum(0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_largest_is_exact_and_ties_go_by_hash(dtype):
    a, z, tie = problem(n=5000, dtype=dtype)
    g = written(a, z)
    products, extra = Products(a, z, tie), np.zeros(5000)
    for seed in range(20):
        target = np.random.default_rng(seed).normal(size=(3, 4))
        value = (g * target).sum((1, 2)) + extra
        row, found = products.largest(target, extra)
        assert row == value.argmax()
        assert found == pytest.approx(value.max())
        extra[row] = -np.inf
    a[100:200], z[100:200] = 50 * a[100], z[100]
    row, _ = Products(a, z, tie).largest(written(a, z)[100], np.zeros(5000))
    assert row == 100 + tie[100:200].argmin()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_that_float32_cannot_tell_apart_are_told_apart(dtype):
    rng = np.random.default_rng(0)
    for seed in range(20):
        a, z, tie = problem(n=300, d=64, seed=seed, dtype=dtype)
        target = rng.normal(size=(3, 64))
        a[:] = a[0]
        z[:] = 10 * np.sign(z[0])
        z[np.arange(300), rng.integers(64, size=300)] += 2e-6 * rng.normal(size=300)
        value = (written(a, z) * target).sum((1, 2))
        row, found = Products(a, z, tie).largest(target, np.zeros(300))
        assert value[row] >= value.max() - 1e-10
        assert found == pytest.approx(value.max(), abs=1e-10)


def test_N1_zero_gradients_tie_and_numbers_beyond_float32_are_no_trouble():
    a, z, tie = problem()
    row, value = Products(np.zeros_like(a), z, tie).largest(np.ones((3, 4)), np.zeros(30))
    assert (row, value) == (tie.argmin(), 0.0)
    z[3] *= 1e60
    target = np.sign(written(a, z)[3])
    assert Products(a, z, tie).largest(target, np.zeros(30))[0] == 3


def naive(g, target, b, tie):
    residual, rows, gain = target.copy(), [], []
    for _ in range(b):
        error = np.square(residual - g).sum((1, 2))
        error[rows] = np.inf
        least = np.flatnonzero(error == error.min())
        rows.append(int(least[tie[least].argmin()]))
        gain.append(np.square(residual).sum() - error.min())
        residual = residual - g[rows[-1]]
    return rows, gain


@given(st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_matching_equals_the_naive_form(seed, b):
    a, z, tie = problem(n=12, seed=seed)
    g = written(a, z)
    target = g.sum(0) * b / 12
    rows, gain = match(Products(a, z, tie), target, b)
    expected, gains = naive(g, target, b, tie)
    assert rows.tolist() == expected
    assert gain == pytest.approx(gains, abs=1e-8)


def test_Q17_a_long_match_does_not_drift():
    a, z, tie = problem(n=400, c=6, d=9)
    g = written(a, z)
    rows, gain = match(Products(a, z, tie), g.sum(0), 300)
    error = np.square(g.sum(0) - np.cumsum(g[rows], axis=0)).sum((1, 2))
    before = np.append(np.square(g.sum(0)).sum(), error[:-1])
    assert gain == pytest.approx(before - error, rel=1e-9, abs=1e-8)


def penalised(g, rows, target, ridge):
    columns = g[rows].reshape(len(rows), -1).T
    system = np.vstack([columns, np.sqrt(ridge) * np.eye(len(rows))])
    weight, error = nnls(system, np.append(target.ravel(), np.zeros(len(rows))))
    return weight, error**2


@pytest.mark.parametrize("ridge", [0.0, 0.01, 0.5, 50.0])
def test_weighted_matching_picks_by_product_and_weighs_as_nnls_does(ridge):
    for seed in range(8):
        a, z, tie = problem(n=40, seed=seed)
        g = written(a, z)
        target = g.sum(0)
        rows, gain, weight = match_weighted(Products(a, z, tie), target, 10, ridge)
        residual, before = target, np.square(target).sum()
        for t, row in enumerate(rows):
            product = (g * residual).sum((1, 2))
            product[rows[:t]] = -np.inf
            assert row == product.argmax()
            expected, error = penalised(g, rows[: t + 1], target, ridge)
            assert gain[t] == pytest.approx(before - error, abs=1e-7)
            residual, before = target - np.einsum("t,tcd->cd", expected, g[rows[: t + 1]]), error
        assert weight == pytest.approx(expected, abs=1e-7)
        assert (weight >= 0).all()
        assert (gain >= 0).all()


def test_the_residual_never_rises():
    a, z, tie = problem(n=60, seed=5)
    g = written(a, z)
    rows, _, _ = match_weighted(Products(a, z, tie), g.sum(0), 12, 0.0)
    errors = [penalised(g, rows[:t], g.sum(0), 0.0)[1] for t in range(1, len(rows) + 1)]
    assert (np.diff(errors) <= 1e-9).all()


def test_a_planted_subset_of_orthogonal_gradients_is_recovered_with_its_weights():
    a, z = np.repeat(np.eye(4), 5, axis=0), np.tile(np.eye(5), (4, 1))
    weight = np.zeros(20)
    weight[[3, 8, 17]] = 2.0, 0.5, 1.25
    target = np.einsum("n,nc,nd->cd", weight, a, z)
    rows, _, found = match_weighted(Products(a, z, np.arange(20, dtype=np.uint64)), target, 20, 0.0)
    assert rows.tolist() == [3, 17, 8]
    assert found == pytest.approx([2.0, 1.25, 0.5])
    assert match(Products(a, z, np.arange(20, dtype=np.uint64)), target, 2)[0].tolist() == [3, 17]


def test_C1_weighted_matching_ends_when_nothing_points_towards_the_target():
    a, z, tie = problem()
    rows, gain, weight = match_weighted(Products(a, z, tie), np.zeros((3, 4)), 10, 0.5)
    assert len(rows) == len(gain) == len(weight) == 0


def test_duplicates_without_a_ridge_do_not_break_the_weights():
    a, z, tie = problem(n=8)
    a[:], z[:] = a[0], z[0]
    rows, _, weight = match_weighted(Products(a, z, tie), 3 * written(a, z)[0], 8, 0.0)
    assert rows.tolist() == [tie.argmin()]
    assert weight == pytest.approx([3.0])


@given(st.integers(1, 9), st.integers(0, 2**32), st.sampled_from([0.0, 1e-3, 1.0]), st.booleans())
@settings(max_examples=80, deadline=None)
def test_non_negative_weights_equal_those_of_another_library(t, seed, ridge, warm):
    rng = np.random.default_rng(seed)
    columns, target = rng.normal(size=(12, t)), rng.normal(size=12)
    start = np.abs(rng.normal(size=t)) * (rng.random(t) < 0.5) if warm else np.zeros(t)
    found = non_negative(columns.T @ columns, columns.T @ target, ridge, start)
    system = np.vstack([columns, np.sqrt(ridge) * np.eye(t)])
    assert found == pytest.approx(nnls(system, np.append(target, np.zeros(t)))[0], abs=1e-6)


def test_progress_is_told():
    a, z, tie = problem()
    heard = []
    with listening(lambda *news: heard.append(news)):
        match(Products(a, z, tie), written(a, z).sum(0), 3)
        match_weighted(Products(a, z, tie), written(a, z).sum(0), 2, 0.5)
    assert heard == [("picking", i, 3) for i in (1, 2, 3)] + [("picking", i, 2) for i in (1, 2)]
