"""Label propagation against dense algebra, and what happens where labels do not reach."""

import numpy as np
import pytest

from querist.errors import DataError
from querist.kernels.diffusion import diffused, normalised_graph
from querist.kernels.neighbours import nearest_neighbours
from querist.kernels.propagation import balance, propagated, used
from querist.seeds import Seed

SOLVE = {"alpha": 0.9, "steps": 500, "tolerance": 1e-13}


def unit(rng, N, d):
    x = rng.normal(size=(N, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def graph_of(x, k, gamma=3.0):
    return normalised_graph(x, nearest_neighbours(x, k)[0], gamma)


def naive(s, rows, y, c, alpha, pooling="mean"):
    """The same, entry by entry: (p, weight)."""
    N = len(s)
    z = np.zeros((N, c))
    for k in range(c):
        of_class = [row for row, label in zip(rows, y, strict=True) if label == k]
        source = np.zeros(N)
        for row in of_class:
            source[row] = 1 / len(of_class) if pooling == "mean" else 1
        z[:, k] = np.linalg.solve(np.eye(N) - alpha * s, source)
    p, weight = np.full((N, c), 1 / c), np.zeros(N)
    for i in range(N):
        z[i] = [max(v, 0) for v in z[i]]
        if z[i].sum() > 0:
            p[i] = z[i] / z[i].sum()
            weight[i] = 1 + sum(q * np.log(q) for q in p[i] if q > 0) / np.log(c)
    return p, weight / weight.max()


@pytest.mark.parametrize("pooling", ["mean", "sum"])
@pytest.mark.parametrize("c", [2, 4])
def test_equals_dense_algebra(c, pooling):
    rng = np.random.default_rng(c)
    graph = graph_of(unit(rng, 40, 5), 8)
    rows = rng.permutation(40)[:9]
    y = np.concatenate([np.arange(c), rng.integers(c, size=9 - c)])
    found = propagated(graph, rows, y, c, **SOLVE, pooling=pooling)
    p, weight = naive(graph.toarray(), rows, y, c, 0.9, pooling)
    np.testing.assert_allclose(found.p, p, atol=1e-9)
    np.testing.assert_allclose(found.weight, weight, atol=1e-8)
    assert found.weight.max() == 1.0


def test_columns_are_solved_as_each_alone():
    rng = np.random.default_rng(3)
    graph, source = graph_of(unit(rng, 50, 4), 6), rng.random((50, 3))
    source[:, 1] = 0
    together = diffused(graph, source, 0.99, steps=20, tolerance=1e-6)
    for j in range(3):
        alone = diffused(graph, source[:, j], 0.99, steps=20, tolerance=1e-6)
        np.testing.assert_allclose(together[:, j], alone, rtol=1e-9, atol=1e-12)
    assert not together[:, 1].any()


def islands():
    """Two pairs at right angles, and a row opposite to the first pair that is joined to nobody."""
    return np.array([[1, 0, 0], [0.99, 0.141, 0], [0, 0, 1], [0, 0.141, 0.99], [-1, 0, 0]], np.float32)


def test_T6_an_unreached_row_weighs_nothing_and_spoils_no_other():
    """One NaN makes all weights NaN in the code this was published with."""
    found = propagated(graph_of(islands(), 4), np.array([0, 2]), np.array([0, 1]), 2, **SOLVE)
    assert found.reached.tolist() == [True, True, True, True, False]
    assert found.p[4].tolist() == [0.5, 0.5]
    assert found.weight[4] == 0
    assert np.isfinite(found.weight).all()
    assert (found.weight[:4] > 0.3).all()


def test_T6_negative_similarities_carry_nothing():
    """Cubed, a similarity of -1 would be an edge that pushes the opposite class."""
    x = np.array([[1, 0], [-1, 0], [0.8, 0.6]], np.float32)
    graph = graph_of(x, 2)
    assert graph.toarray().min() == 0
    found = propagated(graph, np.array([0]), np.array([0]), 2, **SOLVE)
    assert found.reached.tolist() == [True, False, True]


def test_T6_a_class_without_labels_has_an_empty_column_and_counts_among_the_declared():
    rng = np.random.default_rng(0)
    graph = graph_of(unit(rng, 30, 4), 10)
    rows, y = np.arange(6), np.array([0, 0, 2, 2, 2, 0])
    found = propagated(graph, rows, y, 5, **SOLVE)
    assert (found.p[:, [1, 3, 4]] == 0).all()
    np.testing.assert_allclose(found.p.sum(axis=1), 1)
    two = propagated(graph, rows, y // 2, 2, **SOLVE)
    np.testing.assert_allclose(found.p[:, [0, 2]], two.p)
    p = two.p
    raw = 1 + (p * np.log(p)).sum(axis=1) / np.log(5)
    np.testing.assert_allclose(found.weight, raw / raw.max(), rtol=1e-9)


def test_one_class_seen_is_certain_and_one_declared_too():
    graph = graph_of(unit(np.random.default_rng(1), 12, 2), 11)
    for c in (1, 3):
        found = propagated(graph, np.array([4]), np.array([0]), c, **SOLVE)
        assert (found.weight == found.reached).all()
        assert (found.p[found.reached, 0] == 1).all()


def test_no_row_above_chance_gives_no_weight():
    x = np.ones((3, 1), np.float32)
    found = propagated(graph_of(x, 2), np.array([0, 1]), np.array([0, 1]), 2, alpha=0.0, steps=5, tolerance=0)
    assert found.weight.tolist() == [1, 1, 0]


@pytest.mark.parametrize("y", [[], [3], [-1]])
def test_labels_that_do_not_fit_are_refused(y):
    graph = graph_of(unit(np.random.default_rng(1), 5, 2), 2)
    with pytest.raises(DataError, match="Expected"):
        propagated(graph, np.arange(len(y)), np.array(y, np.int64), 3, **SOLVE)


WEIGHT = np.array([0.9, 0.0, 0.2, 0.5, 0.5, 0.05, 1.0, 0.7])


@pytest.mark.parametrize(
    ("mode", "least", "expected"),
    [
        ("full", 0.0, [0, 2, 3, 4, 5, 6, 7]),
        ("full", 0.5, [0, 3, 4, 6, 7]),
        ("certain", 0.0, [0, 3, 6, 7]),
        ("certain", 0.8, [0, 6]),
    ],
)
def test_rows_that_are_used(mode, least, expected):
    assert used(WEIGHT, mode, 0.5, least, Seed(0).key()).tolist() == expected


@pytest.mark.parametrize("mode", ["prob", "uniform"])
def test_draws_take_all_there_are_if_there_are_fewer(mode):
    """Fewer non-zero weights than the share asks for made the original fail."""
    weight = np.where(np.arange(10) < 3, 0.5, 0.0)
    assert used(weight, mode, 0.5, 0.0, Seed(0).key()).tolist() == [0, 1, 2]
    assert len(used(np.zeros(4), mode, 0.5, 0.0, Seed(0).key())) == 0


def test_draws_have_the_odds_of_their_weights():
    drawn = np.zeros((2, 4))
    weight = np.array([0.1, 0.2, 0.3, 0.4])
    for j in range(3000):
        key = Seed(0).child(j).key()
        for mode, row in (("prob", 0), ("uniform", 1)):
            drawn[row, used(weight, mode, 0.25, 0.0, key)] += 1
    np.testing.assert_allclose(drawn / 3000, [weight, [0.25] * 4], atol=0.03)


def test_T6_classes_balance():
    y = np.array([0] * 6 + [2] * 2 + [3])
    zeta = balance(y, 4)
    np.testing.assert_allclose(zeta, [9 / 3 / 6, 1, 9 / 3 / 2, 9 / 3 / 1])
    assert zeta[y].mean() == pytest.approx(1)
    np.testing.assert_allclose([zeta[k] * (y == k).sum() for k in (0, 2, 3)], 3)
