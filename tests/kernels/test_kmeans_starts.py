"""Greedy k-means++ against plain loops, and starts of wide rows."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import kmeans_starts as module
from querist.kernels.kmeans_starts import starts


def generator(seed=0):
    return np.random.default_rng(seed)


def squared(x, y):
    return np.square(np.asarray(x, np.float64)[:, None] - np.asarray(y, np.float64)[None]).sum(axis=2)


def potential(x, centres):
    return squared(x, centres).min(axis=1).sum()


def plain_seeding(x, times, uniform):
    """Greedy k-means++ with the same uniforms: candidates by inverse transform, the best kept."""
    near, rows = np.full(len(x), np.inf), []
    for step, row in enumerate(uniform):
        weight = times * (1.0 if step == 0 else near)
        cumulated = np.cumsum(weight)
        tried = [min(int(np.searchsorted(cumulated, u * cumulated[-1], side="right")), len(x) - 1) for u in row]
        after = [np.minimum(near, squared(x, x[[i]])[:, 0]) for i in (tried[:1] if step == 0 else tried)]
        best = int(np.argmin([(times * potential).sum() for potential in after]))
        near = after[best]
        rows.append(tried[best])
    return rows


@st.composite
def points(draw):
    """Points on a small grid: exact in float32, with duplicates and constant rows; narrow, and wider than an unroll."""
    n, d = draw(st.integers(1, 15)), draw(st.sampled_from([1, 2, 4, 9, 16, 19]))
    x = generator(draw(st.integers(0, 999))).integers(-2, 3, size=(n, d))
    return x.astype(draw(st.sampled_from([np.float32, np.float64])))


@given(points(), st.data())
def test_seeding_equals_plain_greedy_kmeans_plus_plus(x, data):
    k, q = data.draw(st.integers(1, len(x))), data.draw(st.integers(1, 4))
    uniform = generator(data.draw(st.integers(0, 99))).random((k, q))
    # Powers of two, so that weighted sums are as exact as the distances.
    weight = 2.0 ** np.array(data.draw(st.lists(st.integers(-3, 3), min_size=len(x), max_size=len(x))))
    rows = np.empty(k, np.intp)
    module._seed(module.dense(x), weight, uniform, rows)
    assert rows.tolist() == plain_seeding(x, weight, uniform)


def test_seeding_of_more_rows_than_a_block_equals_the_plain_one():
    x = generator(1).integers(-9, 10, size=(333, 12)).astype(np.float32)
    uniform, rows = generator(2).random((40, 5)), np.empty(40, np.intp)
    for weight in (np.ones(333), 2.0 ** generator(3).integers(-2, 3, size=333)):
        module._seed(module.dense(x), weight, uniform, rows)
        assert rows.tolist() == plain_seeding(x, weight, uniform)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_leading_axes_keep_most_of_each_distance_and_all_duplicates(dtype):
    x = (generator(0).normal(size=(301, 150)) * np.arange(1, 151) ** -0.7 + 30).astype(dtype)
    x[7:90] = x[6]
    along = module._leading(module.dense(x))
    assert along.shape == (301, 64)
    assert along.dtype == dtype
    assert (along[6:90] == along[6]).all()
    short, full = squared(along, along), squared(x, x)
    assert (short <= full * (1 + 1e-4) + 1e-6).all()
    assert short.sum() > 0.9 * full.sum()


def test_fewer_wide_rows_than_axes_keep_their_distances():
    x = generator(0).normal(size=(20, 200))
    along = module._leading(module.dense(x))
    np.testing.assert_allclose(squared(along, along), squared(x, x), rtol=1e-9, atol=1e-9)


def test_starts_of_wide_rows_are_as_good_as_those_that_measure_every_column(monkeypatch):
    mean = generator(0).normal(size=(20, 160))
    x = (mean[generator(1).integers(20, size=1500)] + 0.5 * generator(2).normal(size=(1500, 160))).astype(np.float32)
    leading = np.mean([potential(x, starts(module.dense(x), 30, generator(seed))) for seed in range(5)])
    monkeypatch.setattr(module, "AXES", 200)
    whole = np.mean([potential(x, starts(module.dense(x), 30, generator(seed))) for seed in range(5)])
    assert leading == pytest.approx(whole, rel=0.02)
    anywhere = np.mean([potential(x, x[generator(seed).choice(1500, 30, replace=False)]) for seed in range(5)])
    assert leading < 0.9 * anywhere


def test_starts_are_rows_of_the_points():
    x = generator(0).normal(size=(90, 140)).astype(np.float32)
    found = starts(module.dense(x), 7, generator(3))
    assert found.dtype == np.float64
    assert len({int(np.flatnonzero((x == row).all(axis=1))[0]) for row in found}) == 7


def test_rows_without_weight_are_never_starts_and_heavy_ones_usually_are():
    x = generator(0).normal(size=(60, 3))
    weight = np.where(np.arange(60) % 3 == 0, 1.0, 0.0)
    first = np.zeros(60)
    for seed in range(200):
        chosen = [int(squared(x, row[None])[:, 0].argmin()) for row in starts(x, 6, generator(seed), weight)]
        assert all(i % 3 == 0 for i in chosen)
        first[chosen[0]] += 1
    weight[0] = 40.0
    heavy = [int(squared(x, starts(x, 1, generator(seed), weight))[:, 0].argmin()) for seed in range(200)]
    assert first[0] < 40
    assert np.mean(np.array(heavy) == 0) == pytest.approx(40 / 59, abs=0.15)


def test_equal_weights_change_no_bit(monkeypatch):
    monkeypatch.setattr(module, "SEEDED_ON", 50)
    for n in (40, 300):
        x = generator(1).normal(size=(n, 4)).astype(np.float32)
        np.testing.assert_array_equal(starts(x, 7, generator(2)), starts(x, 7, generator(2), np.ones(n)))


def test_weighted_starts_weigh_the_potential():
    # Two far groups of little weight against the spread of a heavy one: which matters more depends on the weights.
    x = np.concatenate([np.zeros((20, 1)), np.full((20, 1), 1.0), np.full((2, 1), 3.0)])
    for light, expected in ((1e-4, {0.0, 1.0}), (100.0, {3.0})):
        weight = np.append(np.ones(40), [light, light])
        found = [set(starts(x, 2, generator(seed), weight)[:, 0]) for seed in range(30)]
        assert np.mean([expected <= chosen for chosen in found]) > 0.85
