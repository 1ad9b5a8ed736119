"""Sums over pairs of rows, against plain loops over all of them."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import pairs
from querist.kernels.coverage import closeness, cosine, gaussian, top_hat
from querist.seeds import Seed

KERNELS = {"cosine": cosine(), "gaussian": gaussian(0.8), "top_hat": top_hat(1.1), "closeness": closeness(4.0)}
SIZES = [1, 3, 63, 64, 65, 130, 200]


def points(n, d=5, seed=0, dtype=np.float32):
    """Rows of length one, with every fifth a duplicate of an earlier one."""
    x = np.random.default_rng(seed).normal(size=(n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[4::5] = x[: len(x[4::5])]
    return x.astype(dtype)


def squared(x):
    return np.square(x[:, None].astype(float) - x[None].astype(float)).sum(axis=2)


def like(x, name):
    gap = squared(x)
    return {
        "cosine": np.maximum(1 - gap / 4, 0),
        "gaussian": np.exp(-gap / 0.8**2),
        "top_hat": (gap < 1.1**2).astype(float),
        "closeness": np.maximum(1 - np.sqrt(gap) / 4, 0),
    }[name]


def first_gains(x, name, weight, best):
    gain = np.zeros(len(x), np.int64)
    for start in range(0, len(x), 64):
        stop = min(start + 64, len(x))
        pairs.first_gains(x, weight * pairs.UNIT, best[None] * pairs.UNIT, *KERNELS[name], start, stop, gain[None])
    return gain


def improvement(x, name, weight, best):
    return np.maximum(weight[:, None] * like(x, name) - best[:, None], 0).sum(axis=0)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("n", SIZES)
def test_first_gains_equal_a_sum_over_all_pairs(name, n):
    x, rng = points(n), np.random.default_rng(1)
    weight, best = rng.random(n), np.rint(0.3 * rng.random(n) * pairs.UNIT) / pairs.UNIT
    gain = first_gains(x, name, weight, best) / pairs.UNIT
    np.testing.assert_allclose(gain, improvement(x, name, weight, best), atol=n * 2.0**-40)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 31, 32, 33, 64, 70])
def test_every_dimension_counts_also_where_far_blocks_are_left_early(d):
    x = np.random.default_rng(d).normal(size=(150, d)).astype(np.float32)
    sigma, delta = 0.3 * np.sqrt(d), 1.1 * np.sqrt(d)
    for similarity, expected in (
        (gaussian(sigma), np.exp(-squared(x) / sigma**2)),
        (top_hat(delta), squared(x) < delta**2),
    ):
        gain = np.zeros(150, np.int64)
        pairs.first_gains(x, np.full(150, pairs.UNIT), np.zeros((1, 150)), *similarity, 0, 150, gain[None])
        np.testing.assert_allclose(gain / pairs.UNIT, expected.sum(axis=0), atol=150 * 2.0**-40)


@pytest.mark.parametrize("sigma", [1e-30, 1e-4, 1e-2, 0.3, 1.0, 30.0, 1e30])
def test_gaussian_is_accurate_for_any_width_and_exactly_one_at_no_distance(sigma):
    x = points(100) * np.float32(3)
    gain = np.zeros(100, np.int64)
    pairs.first_gains(x, np.full(100, pairs.UNIT), np.zeros((1, 100)), *gaussian(sigma), 0, 100, gain[None])
    with np.errstate(over="ignore"):
        expected = np.exp(-squared(x) / sigma / sigma).sum(axis=0)
    np.testing.assert_allclose(gain / pairs.UNIT, expected, atol=100 * 2.0**-40)
    pick, rows, value = 4, np.empty(100, np.intp), np.empty(100)
    count = pairs.risen(x, pick, np.full(100, pairs.UNIT), np.zeros(100), *gaussian(sigma)[:2], rows, value)
    assert value[:count][rows[:count] == pick] == pairs.UNIT


@pytest.mark.parametrize("name", KERNELS)
@given(seed=st.integers(0, 50), n=st.integers(1, 90))
def test_U3_U4_sums_have_the_same_bits_in_any_order_of_rows(name, seed, n):
    x, rng = points(n, seed=seed), np.random.default_rng(seed)
    weight, best, order = rng.random(n), np.zeros(n), rng.permutation(n)
    straight = first_gains(x, name, weight, best)
    shuffled = first_gains(np.ascontiguousarray(x[order]), name, weight[order], best)
    assert shuffled.tolist() == straight[order].tolist()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("room", [0, 3, 500])
def test_change_turns_the_gains_of_before_into_those_of_after(name, n, room):
    x, rng = points(n), np.random.default_rng(2)
    weight, best = rng.random(n), np.rint(0.2 * rng.random(n) * pairs.UNIT) / pairs.UNIT
    rows = rng.permutation(n)[:40]
    after = best.copy()
    after[rows] = np.rint(0.4 * rng.random(len(rows)) * pairs.UNIT) / pairs.UNIT  # up and down
    gain = first_gains(x, name, weight, best)
    length, seen, value = np.empty(64, np.int64), np.empty((64, room), np.int32), np.empty((64, room))
    unit = pairs.UNIT
    pairs.change(
        x, rows, best[rows] * unit, after[rows] * unit, weight * unit, *KERNELS[name], gain, length, seen, value
    )
    assert gain.tolist() == first_gains(x, name, weight, after).tolist()
    for i, row in enumerate(rows[: len(rows) if room else 0]):
        covers = np.rint(weight[row] * unit * like(x, name)[row])
        better = np.flatnonzero(covers > after[row] * unit + 1)
        if length[i] < 0:
            assert len(better) > room - 3
        else:
            listed = dict(zip(seen[i, : length[i]].tolist(), value[i, : length[i]], strict=True))
            assert set(better.tolist()) <= set(listed)
            assert all(abs(covers[c] - v) <= 1 for c, v in listed.items())


@pytest.mark.parametrize("name", KERNELS)
def test_lists_do_what_another_look_would_do(name):
    n, x = 150, points(150)
    weight, best = np.ones(n), np.full(n, 0.125)
    rows = np.arange(0, 60)
    gain, unit = first_gains(x, name, weight, best), pairs.UNIT
    length, seen, value = np.empty(64, np.int64), np.empty((64, n), np.int32), np.empty((64, n))
    old, none = best[rows] * unit, (np.empty(64, np.int64), np.empty((64, 0), np.int32), np.empty((64, 0)))
    pairs.change(x, rows, old, old, weight * unit, *KERNELS[name], gain, length, seen, value)
    start, lengths = np.arange(n) * n, np.zeros(n, np.int64)
    lengths[rows] = length[:60]
    store, held = np.zeros(n * n, np.int32), np.zeros(n * n)
    for i in rows:
        store[i * n : i * n + length[i]], held[i * n : i * n + length[i]] = seen[i, : length[i]], value[i, : length[i]]
    again = gain.copy()
    for level in (0.3, 0.5, 0.9):
        new = np.full(60, np.rint(level * unit))
        pairs.walk(rows, old, new, start, lengths, store, held, gain)
        pairs.change(x, rows, old, new, weight * unit, *KERNELS[name], again, *none)
        assert gain.tolist() == again.tolist()
        assert (held[np.concatenate([np.arange(i * n, i * n + lengths[i]) for i in rows])] > new[0]).all()
        old = new


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("n", SIZES)
def test_risen_rows_are_those_covered_better_and_no_others(name, n):
    x, rng = points(n), np.random.default_rng(3)
    weight, best, pick = rng.random(n) * pairs.UNIT, 0.5 * rng.random(n) * pairs.UNIT, n // 2
    rows, value = np.empty(n, np.intp), np.empty(n)
    count = pairs.risen(x, pick, weight, best, *KERNELS[name][:2], rows, value)
    expected = np.rint(weight * like(x, name)[:, pick])
    assert rows[:count].tolist() == np.flatnonzero(expected > best).tolist()
    np.testing.assert_allclose(value[:count], expected[rows[:count]], atol=1)
    count = pairs.risen(x, pick, weight, np.maximum(expected - 2, 0), *KERNELS[name][:2], rows, value)
    assert rows[:count].tolist() == np.flatnonzero(expected).tolist()
    assert pairs.risen(x, pick, weight, expected + 2, *KERNELS[name][:2], rows, value) == 0


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_two_best_and_losses(n, k):
    x, rng = points(n), np.random.default_rng(4)
    centres = rng.permutation(n)[:k]
    k = len(centres)
    first, second, owner, other = np.empty(n), np.empty(n), np.empty(n, np.intp), np.empty(n, np.intp)
    kind, scale, far = closeness(4.0)
    pairs.two_best(x, np.arange(n), centres, kind, scale, first, second, owner, other)
    close = np.rint(pairs.UNIT * like(x, "closeness")[:, centres])
    ranked = np.argsort(-close, axis=1, kind="stable")
    np.testing.assert_allclose(first, close.max(axis=1), atol=1)
    assert owner.tolist() == ranked[:, 0].tolist()
    assert other.tolist() == (ranked[:, 1].tolist() if k > 1 else [-1] * n)
    expected = np.sort(close, axis=1)[:, -2] if k > 1 else np.zeros(n)
    np.testing.assert_allclose(second, expected, atol=1)
    rows, loss = np.flatnonzero(owner == 0), np.zeros(n, np.int64)
    pairs.losses(x, rows, first[rows], second[rows], kind, scale, far, loss)
    without = np.maximum(like(x, "closeness")[rows], second[rows, None] / pairs.UNIT)
    kept = np.minimum(without, first[rows, None] / pairs.UNIT)
    np.testing.assert_allclose(
        loss / pairs.UNIT, (first[rows, None] / pairs.UNIT - kept).sum(axis=0), atol=n * 2.0**-39
    )


def test_losses_count_candidates_that_are_far_from_everything():
    x = np.zeros((6, 40), np.float32)
    x[4:, 0] = 100.0
    loss = np.zeros(6, np.int64)
    pairs.losses(x, np.array([0, 1]), np.array([9.0, 8.0]), np.array([2.0, 3.0]), *closeness(1.0), loss)
    assert loss.tolist() == [0, 0, 0, 0, 12, 12]


@pytest.mark.parametrize("n", SIZES)
def test_nearest_others(n):
    x, label = points(n), np.random.default_rng(5).integers(0, 3, n)
    rows, gap = np.arange(n)[::2].copy(), np.empty(len(range(0, n, 2)))
    pairs.nearest_others(x, rows, label, gap)
    apart = np.where(label[rows][:, None] != label, squared(x)[rows], np.inf)
    np.testing.assert_allclose(gap, apart.min(axis=1), rtol=1e-12)


def test_largest_takes_open_rows_and_the_smallest_hash():
    tie = Seed(0).key().hash(np.arange(5))
    gain, open_ = np.array([3, 9, 9, 9, 1]), np.array([True, True, False, True, True])
    assert pairs.largest(gain, open_, tie) == [1, 3][tie[[1, 3]].argmin()]
    assert pairs.largest(-gain, open_, tie) == 4
    assert pairs.largest(gain, np.zeros(5, bool), tie) == -1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
def test_close_pairs_are_found_once_each_whatever_the_room(n, dtype):
    x = points(n, d=7, dtype=dtype)
    expected = {(i, j) for i, j in zip(*np.nonzero(squared(x) < 0.8), strict=True) if i < j}
    one, other = np.empty(300, np.int32), np.empty(300, np.int32)
    found, start, at = [], 0, 0
    while start < n:
        count, start, at = pairs.close_pairs(x, 0.8, start, n, at, one, other)
        found += zip(one[:count].tolist(), other[:count].tolist(), strict=True)
    assert len(found) == len(set(found)) == len(expected)
    assert set(found) == expected


def test_N9_distances_on_the_limit_are_decided_in_float64():
    base = np.random.default_rng(0).normal(size=64)
    steps = 1 + np.linspace(-1e-6, 1e-6, 301)
    x = np.concatenate([np.zeros((1, 64)), base * steps[:, None]]).astype(np.float32)
    limit = squared(x)[0, 151]
    one, other = np.empty(2**17, np.int32), np.empty(2**17, np.int32)
    count, _, _ = pairs.close_pairs(x, limit, 0, 302, 0, one, other)
    near = other[:count][one[:count] == 0]
    expected = np.flatnonzero(np.array([sum(float(v) ** 2 for v in row) for row in x]) < limit)
    assert set(near.tolist()) == set(expected.tolist()) - {0}
    assert 0 < len(near) < 301


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("n", SIZES)
def test_several_coverages_at_once_have_the_gains_of_each(name, n):
    x, rng = points(n), np.random.default_rng(6)
    weight = np.where(rng.random(n) < 0.2, 0.0, rng.random(n)) * pairs.UNIT
    best = np.rint(np.sort(0.4 * rng.random((3, n)), axis=0) * pairs.UNIT)
    best[0] = 0.0
    gain = np.zeros((3, n), np.int64)
    for start in range(0, n, 64):
        pairs.first_gains(x, weight, best, *KERNELS[name], start, min(start + 64, n), gain)
    for level in range(3):
        alone = np.zeros((1, n), np.int64)
        for start in range(0, n, 64):
            pairs.first_gains(x, weight, best[level : level + 1], *KERNELS[name], start, min(start + 64, n), alone)
        assert gain[level].tolist() == alone[0].tolist()
