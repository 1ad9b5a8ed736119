"""Farthest-first traversal against brute force in float64."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels.farthest_first import farthest_first, nearest_to_mean
from querist.seeds import Seed


def squared(x):
    x = np.asarray(x, np.float64)
    return np.square(x[:, None] - x[None]).sum(axis=2)


def brute(x, centres, open_, tie, b):
    x, near, rows, far, open_ = x.astype(np.float64), np.full(len(x), np.inf), [], [], open_.copy()
    for c in centres:
        near = np.minimum(near, np.square(x - x[c]).sum(axis=1))
    for _ in range(b):
        tied = np.flatnonzero(open_ & (near == near[open_].max()))
        best = tied[tie[tied].argmin()]
        rows.append(int(best))
        far.append(float(np.sqrt(near[best])))
        near = np.minimum(near, np.square(x - x[best]).sum(axis=1))
        open_[best] = False
    return rows, far


@st.composite
def worlds(draw):
    """Points on a small grid: exact in float32, full of ties and duplicates; d = 1 and constant rows included."""
    n, d = draw(st.integers(1, 14)), draw(st.integers(1, 4))
    x = np.array(draw(st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=n, max_size=n)))
    x = x.astype(draw(st.sampled_from([np.float16, np.float32, np.float64])))
    centres = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n - 1))
    open_ = np.ones(n, bool)
    open_[centres] = False
    return x, np.array(centres, np.intp), open_, Seed(draw(st.integers(0, 9))).key().hash(np.arange(n))


@given(worlds(), st.data())
def test_equals_brute_force(world, data):
    x, centres, open_, tie = world
    b = data.draw(st.integers(0, int(open_.sum())))
    rows, far = farthest_first(x, centres, open_, tie, b)
    expected, distance = brute(x, centres, open_, tie, b)
    assert rows.tolist() == expected
    np.testing.assert_allclose(far, distance, rtol=1e-12)


@given(worlds())
def test_distances_never_increase_and_inputs_stay(world):
    x, centres, open_, tie = world
    before = [x.copy(), centres.copy(), open_.copy(), tie.copy()]
    for array in world:
        array.flags.writeable = False
    rows, far = farthest_first(x, centres, open_, tie, int(open_.sum()))
    assert sorted(rows.tolist()) == np.flatnonzero(open_).tolist()
    assert (far[1:] <= far[:-1]).all()
    assert all(np.array_equal(a, b) for a, b in zip(before, world, strict=True))


@given(worlds(), st.data())
def test_radius_is_at_most_twice_the_best_possible(world, data):
    x, _, open_, tie = world
    b = data.draw(st.integers(0, min(3, len(x) - 1)))
    gap = np.sqrt(squared(x))
    start = np.array([0])
    open_[:] = True
    open_[0] = False
    centres = [0, *farthest_first(x, start, open_, tie, b)[0].tolist()]
    best = min(gap[:, list(some)].min(axis=1).max() for some in combinations(range(len(x)), b + 1))
    assert gap[:, centres].min(axis=1).max() <= 2 * best + 1e-12


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_N3_near_duplicates_of_centres_are_as_in_float64(scale):
    rng = np.random.default_rng(0)
    x = (scale * rng.normal(size=(2000, 16)) + 3 * scale).astype(np.float32)
    centres = np.arange(40)
    x[40:1040] = x[rng.integers(40, size=1000)] * (1 + 1.2e-7 * rng.integers(-1, 2, size=(1000, 16))).astype(np.float32)
    x[1040:1500] = x[rng.integers(1040, 1990, size=460)]
    open_ = np.arange(2000) >= 40
    tie = Seed(0).key().hash(np.arange(2000))
    rows, far = farthest_first(x, centres, open_, tie, 1960)
    expected, distance = brute(x, centres, open_, tie, 1960)
    # Rows that are equally far have one distance and go by hash, so the orders agree to the last pick.
    assert rows.tolist() == expected
    np.testing.assert_allclose(far, distance, rtol=1e-9)
    assert np.isfinite(far).all()


def test_N8_N9_exact_duplicates_are_at_distance_zero_and_picked_once():
    x = np.full((9, 5), 0.1, np.float16)
    rows, far = farthest_first(x, np.array([0]), np.arange(9) > 0, Seed(1).key().hash(np.arange(9)), 8)
    assert sorted(rows.tolist()) == list(range(1, 9))
    assert far.tolist() == [0.0] * 8


@given(worlds())
def test_nearest_to_mean_equals_brute_force(world):
    x, _, open_, tie = world
    gap = np.square(x.astype(np.float64) - x.astype(np.float64).mean(axis=0)).sum(axis=1)
    best = nearest_to_mean(x, open_, tie)
    assert open_[best]
    assert gap[best] <= gap[open_].min() + 1e-12
    tied = np.flatnonzero(open_ & (gap == gap[best]))
    assert tie[best] <= tie[tied].min() or len(tied) == 1


def test_nearest_to_mean_breaks_ties_by_hash():
    x = np.array([[-1.0], [1.0], [5.0], [-5.0]])
    for seed in range(8):
        tie = Seed(seed).key().hash(np.arange(4))
        assert nearest_to_mean(x, np.ones(4, bool), tie) == tie[:2].argmin()
