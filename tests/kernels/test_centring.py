"""Centring: principal components as a plain decomposition gives them, and what changes nothing."""

import numpy as np
import pytest

from querist.kernels.centring import directions, median_distance, principal_rows


def cloud(seed=0, n=60, d=7):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.arange(1, d + 1) + 3.0).astype(np.float32)


@pytest.mark.parametrize("k", [2, 7, 40])
def test_distances_are_those_of_the_leading_axes(k):
    x, pool = cloud(), np.arange(0, 60, 2)
    centred = x.astype(float) - x[pool].mean(axis=0, dtype=float)
    axes = np.linalg.svd(centred[pool], full_matrices=False)[2][:k].T
    expected = centred @ axes
    expected /= np.sqrt(np.square(expected[pool]).sum(axis=1).mean())
    got = principal_rows(x, pool, k)
    assert got.shape == (60, min(k, 7))
    np.testing.assert_allclose(got @ got.T, expected @ expected.T, atol=2e-5)


def test_neither_a_constant_nor_a_factor_matters():
    x, pool = cloud().astype(np.float64), np.arange(60)
    plain = principal_rows(x, pool, 5)
    np.testing.assert_allclose(principal_rows(x + 1000.0, pool, 5), plain, atol=1e-5)
    np.testing.assert_allclose(principal_rows(x * 37.0, pool, 5), plain, atol=1e-6)


def test_rows_have_bits_of_their_own():
    x, pool = cloud(), np.arange(60)
    x[[7, 41]] = x[3]
    got = principal_rows(x, pool, 5)
    assert (got[[7, 41]] == got[3]).all()
    # Rows beside the pool change nothing in it.
    longer = principal_rows(np.concatenate([x, cloud(1, 13)]), pool, 5)
    np.testing.assert_array_equal(longer[:60], got)


@pytest.mark.parametrize("x", [np.ones((5, 3)), np.zeros((5, 3)), np.full((1, 3), 7.0)])
def test_n10_constant_rows_have_no_direction(x):
    got = principal_rows(x.astype(np.float32), np.arange(len(x)), 2)
    assert not got.any()
    assert not directions(got).any()
    assert median_distance(got) == 0.0


def test_n10_one_row_at_the_mean_leaves_the_others_alone():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1e-9, 0.0]])
    g = directions(x)
    np.testing.assert_allclose(np.linalg.norm(g, axis=1), [1, 1, 1, 1, 0], atol=1e-7)


def test_the_median_is_that_of_all_pairs_apart():
    x = cloud(2, 12, 3)
    gaps = [np.linalg.norm(x[i].astype(float) - x[j].astype(float)) for i in range(12) for j in range(i)]
    assert median_distance(x) == pytest.approx(np.median(gaps))
    assert median_distance(np.concatenate([x, x[:1]])) < np.inf
    copies = np.repeat(np.array([[0.0, 0.0], [3.0, 4.0]]), [9, 2], axis=0)
    assert median_distance(copies) == pytest.approx(5.0)
