"""Radius graphs, greedy covers and pure radii, against brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels import radius_graph as module
from querist.kernels.coverage import greedy_cover, top_hat
from querist.kernels.radius_graph import (
    cover_greedily,
    least_distance,
    left_to_cover,
    pure_radius,
    radius_graph,
    typical_distance,
)
from querist.kernels.workers import workers
from querist.seeds import Seed


def distances(x):
    return np.sqrt(np.square(x[:, None].astype(float) - x[None].astype(float)).sum(axis=2))


def adjacency(graph):
    matrix = np.zeros((graph.size, graph.size), bool)
    for i in range(graph.size):
        matrix[i, graph.indices[graph.indptr[i] : graph.indptr[i + 1]]] = True
    return matrix


def clouds(n, d=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, d))[rng.integers(12, size=n)] + 0.4 * rng.normal(size=(n, d))
    x[n // 2 : n // 2 + n // 10] = x[: n // 10]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@st.composite
def worlds(draw):
    """Points on a small grid and radii of which some equal distances: no edges, full cover, duplicates, labels."""
    n, d = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    x = np.array(draw(st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=n, max_size=n)))
    centres = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    open_ = np.ones(n, bool)
    open_[centres] = False
    tie = Seed(draw(st.integers(0, 9))).key().hash(np.arange(n))
    delta = draw(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 50.0]))
    return x.astype(np.float32), delta, np.array(centres, np.intp), open_, tie


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 129, 500])
@pytest.mark.parametrize("delta", [1e-9, 0.3, 0.8, 5.0])
def test_M11_M12_the_graph_equals_brute_force_for_any_number_of_rows(n, delta, monkeypatch):
    x = clouds(n)
    expected = (distances(x) < delta) & ~np.eye(n, dtype=bool)
    whole = radius_graph(x, delta)
    np.testing.assert_array_equal(adjacency(whole), expected)
    assert len(whole.indices) == expected.sum()
    monkeypatch.setattr(module, "CHUNK", 256)
    monkeypatch.setattr(module, "stretch", lambda n: 64)
    for threads in (1, 3):
        with workers(threads):
            parts = radius_graph(x, delta)
        np.testing.assert_array_equal(parts.indptr, whole.indptr)
        np.testing.assert_array_equal(adjacency(parts), expected)


@given(worlds())
def test_M12_the_radius_is_open_and_in_the_unit_of_the_distance(world):
    x, delta, *_ = world
    np.testing.assert_array_equal(
        adjacency(radius_graph(x, delta)), (distances(x) < delta) & ~np.eye(len(x), dtype=bool)
    )


def test_too_many_pairs_give_none():
    x = clouds(200)
    pairs = len(radius_graph(x, 0.8).indices) // 2
    assert radius_graph(x, 0.8, most=pairs - 1) is None
    assert radius_graph(x, 0.8, most=pairs) is not None


@given(worlds(), st.data())
def test_M12_C3_degrees_equal_brute_force_step_by_step(world, data):
    x, delta, centres, open_, tie = world
    ball, b = distances(x) < delta, data.draw(st.integers(0, len(x)))
    rows, fresh = cover_greedily(radius_graph(x, delta), centres, open_, tie, b)
    covered, left = ball[:, centres].any(axis=1), open_.copy()
    for row, gain in zip(rows, fresh, strict=True):
        degree = (ball & ~covered).sum(axis=1)
        tied = np.flatnonzero(left & (degree == degree[left].max()))
        assert row == tied[tie[tied].argmin()]
        assert gain == degree[row] > 0
        covered, left[row] = covered | ball[row], False
    if len(rows) < b:
        assert not (left & (ball & ~covered).any(axis=1)).any(), "it stopped although something was uncovered"
    if b:
        some = min(b, 3)
        best = max(
            (ball[list(picked)].any(axis=0) & ~ball[centres].any(axis=0)).sum()
            for picked in combinations(np.flatnonzero(open_), min(some, int(open_.sum())))
        )
        assert fresh[:some].sum() >= (1 - 1 / np.e) * best


@pytest.mark.parametrize("labelled", [0, 10])
@pytest.mark.parametrize("delta", [0.05, 0.4, 0.8, 3.0])
def test_equals_coverage_by_a_top_hat(labelled, delta):
    x, tie = clouds(300), Seed(0).key().hash(np.arange(300))
    open_, centres = np.arange(300) >= labelled, np.arange(labelled)
    rows, fresh = cover_greedily(radius_graph(x, delta), centres, open_, tie, 200)
    same, gain = greedy_cover(x, top_hat(delta), centres, open_, tie, 200)
    assert rows.tolist() == same.tolist()
    assert fresh.tolist() == gain.tolist()


@given(worlds(), st.sampled_from([0.01, 0.3, 0.5, 0.75, 0.95, 1.0]), st.data())
@settings(max_examples=200)
def test_pure_radius_is_the_largest_that_is_pure_enough(world, purity, data):
    x = world[0]
    label = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(x), max_size=len(x))))
    rows = np.array(data.draw(st.lists(st.integers(0, len(x) - 1), min_size=1, unique=True)))
    apart, other = distances(x)[rows], label[rows][:, None] != label

    def share(delta):
        return 1 - ((apart < delta) & other).any(axis=1).mean()

    delta = pure_radius(x, label, purity, rows)
    if np.isinf(delta):
        assert (other.sum(axis=1) == 0).mean() >= purity - 1e-9
        return
    assert share(delta) >= purity - 1e-9
    assert share(delta * (1 + 1e-6) + 1e-9) < purity - 1e-9


def test_a_share_that_float64_cannot_hold_counts_as_meant():
    x = np.array([[float(i)] for i in range(60)], np.float32) ** 2
    label = np.arange(60)
    gaps = np.sort([min(abs(a - b) for b in x[:, 0] if b != a) for a in x[:, 0]])
    assert pure_radius(x, label, 0.95, np.arange(60)) == gaps[3]
    assert pure_radius(x, label, 0.9, np.arange(10)) == np.sort([1, 1, 3, 5, 7, 9, 11, 13, 15, 17])[1]


@given(worlds())
def test_least_distance_is_the_smallest_above_zero(world):
    apart = distances(world[0])
    found = least_distance(world[0])
    assert found == (apart[apart > 0].min() if (apart > 0).any() else None)


def test_M14_one_pair_of_near_duplicates_does_not_change_the_typical_distance():
    x = clouds(40)[:36]
    before, least = typical_distance(x), least_distance(x)
    for row in (0, 17, 35):
        twin = x[row] * np.float32(1 + 1e-5)
        planted = np.concatenate([x, twin[None]])
        assert typical_distance(planted) == before
        assert least_distance(planted) < 1e-3 * least
        assert typical_distance(np.concatenate([planted, x[row][None]])) == before
    assert least <= before <= np.quantile(np.sort(distances(x), axis=1)[:, 1], 0.3)


def test_distances_among_too_few_points_are_none():
    one = np.ones((1, 4), np.float32)
    for x in (one[:0], one, np.repeat(one, 5, axis=0)):
        assert typical_distance(x) is None
        assert least_distance(x) is None
    two = np.array([[0.0], [3.0]], np.float32)
    assert typical_distance(two) == least_distance(two) == 3


@pytest.mark.parametrize("b", [1, 4, 60, 100])
@pytest.mark.parametrize("picks", [[], [3], [3, 8, 20, 41]])
def test_what_is_left_to_cover_is_counted_ball_by_ball(b, picks):
    x = np.random.default_rng(0).normal(size=(60, 2))
    near = np.linalg.norm(x[:, None] - x[None], axis=2) < 0.7
    left = near[:, ~near[picks].any(axis=0)].sum(axis=1)
    graph = radius_graph(x, 0.7)
    assert left_to_cover(graph, np.array(picks, np.intp), b) == np.sort(left)[::-1][:b].sum()
