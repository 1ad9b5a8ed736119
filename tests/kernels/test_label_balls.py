"""Balls around labelled points, against all distances."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels.label_balls import OnGraph, OnPairs, covered, mixed_greedy, pure_radii
from querist.kernels.radius_graph import radius_graph


def world(n=60, d=3, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), rng.integers(labels, size=n)


def distances(x):
    return np.sqrt(np.square(x[:, None].astype(float) - x[None].astype(float)).sum(axis=2))


def bisected(gap, label, own, purity, reach, resolution):
    """One centre, looked at ball by ball."""
    low, high = 0.0, reach
    while high - low > resolution:
        middle = (low + high) / 2
        inside = gap < middle
        low, high = (middle, high) if np.mean(label[inside] == own) >= purity - 1e-9 else (low, middle)
    return (low + high) / 2


@settings(deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, 0.3, 0.5, 0.6, 1.0]), st.sampled_from([0.05, 0.3, 2.0]))
def test_radii_equal_a_bisection_ball_by_ball(seed, purity, resolution):
    x, label = world(seed=seed)
    centres = np.arange(0, 60, 7)
    got = pure_radii(x, centres, label, purity, reach=1.1, resolution=resolution)
    gap = distances(x)
    expected = [bisected(gap[c], label, label[c], purity, 1.1, resolution) for c in centres]
    assert got == pytest.approx(expected)


def test_a_pool_of_one_label_reaches_the_end_and_duplicates_of_another_stop_at_once():
    x, label = world(labels=1)
    assert pure_radii(x, np.array([3]), label, 1.0, reach=1.1, resolution=0.05) == pytest.approx([31.5 / 32 * 1.1])
    x = np.repeat(x[:1], 10, axis=0)
    other = np.arange(10) % 2
    assert pure_radii(x, np.array([0]), other, 0.9, reach=1.1, resolution=0.05) == pytest.approx([0.5 / 32 * 1.1])


def test_covered_rows_are_closer_than_the_radius_of_their_ball():
    x, _ = world()
    centres, radius = np.array([2, 9, 30]), np.array([0.1, 0.8, 0.5])
    assert covered(x, centres, radius).tolist() == (distances(x)[:, centres] < radius).any(axis=1).tolist()
    assert not covered(x, centres[:0], radius[:0]).any()


def naive(x, delta, covered_N, unsure, share, open_N, tie, b):
    ball, covered_N, open_N, rows, score = distances(x) < delta, covered_N.copy(), open_N.copy(), [], []
    for _ in range(b):
        degree = (ball & ~covered_N).sum(axis=1).astype(float)
        u, g = (np.where(open_N, v, 0) for v in (unsure, degree))
        value = share * u / (u.max() or 1) + (1 - share) * g / (g.max() or 1)
        best = [i for i in np.flatnonzero(open_N) if value[i] >= value[open_N].max()]
        row = min(best, key=lambda i: tie[i])
        rows.append(row)
        score.append(value[row])
        open_N[row] = False
        covered_N |= ball[row]
    return rows, score


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("delta", [0.05, 0.4, 0.9, 3.0])
@pytest.mark.parametrize("form", ["graph", "pairs"])
def test_M11_every_pick_equals_brute_force(share, delta, form):
    rng = np.random.default_rng(0)
    x, _ = world(n=70)
    covered_N, open_N, tie = rng.random(70) < 0.3, rng.random(70) < 0.8, rng.permutation(70).astype(np.uint64)
    unsure = np.round(rng.random(70), 1)
    b = int(open_N.sum())
    uncovered = OnGraph(radius_graph(x, delta), covered_N) if form == "graph" else OnPairs(x, delta, ~covered_N, b)
    rows, score = mixed_greedy(uncovered, unsure, share, open_N, tie, b)
    expected, scores = naive(x, delta, covered_N, unsure, share, open_N, tie, b)
    assert rows.tolist() == expected
    assert score == pytest.approx(scores)


def test_degrees_start_with_what_is_uncovered():
    x, _ = world()
    covered_N = np.arange(60) % 3 == 0
    expected = ((distances(x) < 0.5) & ~covered_N).sum(axis=1).tolist()
    assert OnGraph(radius_graph(x, 0.5), covered_N).degree_N.tolist() == expected
    assert OnPairs(x, 0.5, ~covered_N, 5).degree_N.tolist() == expected
