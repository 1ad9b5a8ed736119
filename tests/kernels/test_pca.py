"""Principal axes against numpy's singular value decomposition, on both routes."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels import pca
from querist.kernels.pca import principal_axes
from querist.kernels.threads import single_threaded_blas


def in_blocks(x, size=7):
    return lambda: (x[start : start + size] for start in range(0, len(x), size))


def by_svd(x, k):
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:k].T
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(k)]
    return axes * np.sign(largest)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 2**31), st.data())
def test_equals_the_svd(n, d, seed, data):
    x = np.random.default_rng(seed).normal(size=(n, d)) * np.geomspace(1, 30, d) + 5
    # The last direction of n centred rows is the zero one.
    k = data.draw(st.integers(1, min(n - 1, d)))
    mean, axes = principal_axes(in_blocks(x), n, d, k)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(axes.T @ axes, np.eye(k), atol=1e-7)
    centred = x - mean
    expected = by_svd(x, k)
    np.testing.assert_allclose((centred @ axes) ** 2, (centred @ expected) ** 2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(60, 12), (12, 60), (20, 20)])
def test_signs_do_not_depend_on_the_solver(n, d):
    x = np.random.default_rng(3).normal(size=(n, d)) * np.geomspace(1, 20, d)
    axes = principal_axes(in_blocks(x), n, d, 8)[1]
    np.testing.assert_allclose(axes, by_svd(x, 8), atol=1e-8)
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(8)] > 0).all()


def test_variance_falls_and_is_the_largest_possible():
    x = np.random.default_rng(4).normal(size=(80, 10)) * np.arange(1, 11)
    mean, axes = principal_axes(in_blocks(x), 80, 10, 10)
    variance = ((x - mean) @ axes).var(axis=0)
    assert (np.diff(variance) < 0).all()
    np.testing.assert_allclose(variance.sum(), x.var(axis=0).sum())


@pytest.mark.parametrize(("n", "d"), [(30, 9), (9, 30)])
def test_directions_in_which_nothing_varies_are_zero(n, d):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d))
    axes = principal_axes(in_blocks(x), n, d, 6)[1]
    assert (np.linalg.norm(axes, axis=0).round(6) == [1, 1, 1, 0, 0, 0]).all()
    constant = principal_axes(in_blocks(np.ones((n, d))), n, d, 2)[1]
    assert not constant.any()


def test_small_numbers_beside_a_large_mean_keep_their_axes():
    x = np.random.default_rng(6).normal(size=(200, 5)) * np.array([5, 4, 3, 2, 1])
    shifted = principal_axes(in_blocks(x + 1e6), 200, 5, 3)[1]
    np.testing.assert_allclose(shifted, principal_axes(in_blocks(x), 200, 5, 3)[1], atol=1e-6)


def test_wide_rows_are_taken_in_parts(monkeypatch):
    x = np.random.default_rng(7).normal(size=(8, 50))
    whole = principal_axes(in_blocks(x), 8, 50, 4)[1]
    monkeypatch.setattr(pca, "COLUMNS", 11)
    np.testing.assert_allclose(principal_axes(in_blocks(x), 8, 50, 4)[1], whole, atol=1e-10)


def test_the_same_bits_every_time():
    x = np.random.default_rng(8).normal(size=(500, 64)).astype(np.float32)
    with single_threaded_blas():
        first, second = (principal_axes(in_blocks(x, 128), 500, 64, 10) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()
