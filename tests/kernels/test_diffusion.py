"""Diffusion on the neighbour graph, against dense algebra."""

import numpy as np
import pytest

from querist.kernels.diffusion import diffused, normalised_graph
from querist.kernels.neighbours import nearest_neighbours


def unit(rng, N, d):
    x = rng.normal(size=(N, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def dense_graph(x, near, gamma):
    N = len(x)
    w = np.zeros((N, N))
    for i in range(N):
        for j in near[i]:
            w[i, j] = max(0.0, float(x[i].astype(np.float64) @ x[j])) ** gamma
    w = w + w.T
    degree = w.sum(axis=1)
    scale = np.array([1 / np.sqrt(v) if v > 0 else 0.0 for v in degree])
    return scale[:, None] * w * scale


@pytest.mark.parametrize(("N", "k", "gamma"), [(30, 5, 3.0), (40, 39, 1.0), (12, 1, 3.0)])
def test_graph_and_field_equal_dense_algebra(N, k, gamma):
    rng = np.random.default_rng(N)
    x = unit(rng, N, 4)
    near = nearest_neighbours(x, k)[0]
    graph = normalised_graph(x, near, gamma)
    dense = dense_graph(x, near, gamma)
    np.testing.assert_allclose(graph.toarray(), dense, atol=1e-12)
    source = rng.random(N)
    expected = np.linalg.solve(np.eye(N) - 0.99 * dense, source)
    np.testing.assert_allclose(diffused(graph, source, 0.99, steps=500, tolerance=1e-12), expected, rtol=1e-7)


def test_eigenvalues_are_within_one():
    x = unit(np.random.default_rng(0), 60, 3)
    dense = normalised_graph(x, nearest_neighbours(x, 7)[0], 3.0).toarray()
    assert np.abs(np.linalg.eigvalsh(dense)).max() < 1 + 1e-12


def test_opposite_rows_are_not_joined_and_isolated_rows_stay_empty():
    x = np.array([[1, 0], [0.8, 0.6], [-1, 0]], np.float32)
    graph = normalised_graph(x, nearest_neighbours(x, 2)[0], 3.0).toarray()
    assert graph[2].tolist() == [0, 0, 0]
    assert graph[0, 1] > 0
    assert (
        diffused(normalised_graph(x, nearest_neighbours(x, 2)[0], 3.0), np.eye(3)[0], 0.9, steps=50, tolerance=0)[2]
        == 0
    )


def test_no_source_no_field():
    x = unit(np.random.default_rng(1), 20, 3)
    graph = normalised_graph(x, nearest_neighbours(x, 4)[0], 3.0)
    assert not diffused(graph, np.zeros(20), 0.99, steps=20, tolerance=1e-6).any()
