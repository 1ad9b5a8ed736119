"""Nearest neighbours against sorting all distances, with duplicates, ties, offsets and every size of tile."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.neighbors import NearestNeighbors

from querist.errors import DataError, UsageError
from querist.kernels import neighbours as module
from querist.kernels.neighbours import nearest_neighbours
from querist.kernels.workers import workers


def generator(seed=0):
    return np.random.default_rng(seed)


def plain(x, k):
    """Sort all others by distance, then position."""
    x = np.asarray(x, np.float64)
    gap = np.square(x[:, None] - x[None]).sum(axis=2)
    np.fill_diagonal(gap, np.inf)
    order = np.argsort(gap, axis=1, kind="stable")[:, : min(k, len(x) - 1)]
    return order, np.sqrt(np.take_along_axis(gap, order, axis=1))


def assert_equal_to_plain(x, k):
    indices, distance = nearest_neighbours(x, k)
    expected, far = plain(x, k)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distance, far, rtol=1e-12, atol=0)


@given(st.data())
def test_equals_sorting_all_distances_where_ties_and_duplicates_abound(data):
    n, d, k = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 45))
    x = generator(data.draw(st.integers(0, 10**6))).integers(-1, 2, size=(n, d))
    x = x.astype(data.draw(st.sampled_from([np.float16, np.float32, np.float64])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", data.draw(st.sampled_from([8, 16, 1024])))
        patch.setattr(module, "SPARE", data.draw(st.sampled_from([1, 2, 7])))
        assert_equal_to_plain(x, k)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("tile", [64, 128, 1024])
@pytest.mark.parametrize("k", [1, 20])
def test_equals_sorting_all_distances_over_several_tiles(dtype, tile, k, monkeypatch):
    monkeypatch.setattr(module, "TILE", tile)
    assert_equal_to_plain(generator(1).normal(size=(450, 12)).astype(dtype), k)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e-6, 1e18])
def test_N3_what_rounding_hides_is_looked_at_in_float64(offset, scale, monkeypatch):
    monkeypatch.setattr(module, "TILE", 32)
    x = (scale * (generator(2).normal(size=(150, 9)) + offset)).astype(np.float32)
    # Neighbours a few units in the last place away, far below what a float32 product can tell apart.
    x[50:100] = x[:50] * (1 + 1.2e-7 * generator(3).integers(-2, 3, size=(50, 9)))
    x[100:110] = x[5]
    x = x.astype(np.float32)
    assert_equal_to_plain(x, 6)


def test_one_far_row_costs_no_exactness():
    x = generator(4).normal(size=(300, 5)).astype(np.float32)
    x[17] = 1e6
    assert_equal_to_plain(x, 15)


@pytest.mark.parametrize("n", [90, 700])
def test_constant_rows_are_neighbours_by_position(n):
    indices, distance = nearest_neighbours(np.full((n, 3), 0.3, np.float32), 4)
    assert (distance == 0).all()
    assert indices[0].tolist() == [1, 2, 3, 4]
    assert indices[2].tolist() == [0, 1, 3, 4]
    assert (indices[5:] == [0, 1, 2, 3]).all()


def test_more_duplicates_than_neighbours_beside_other_rows(monkeypatch):
    monkeypatch.setattr(module, "TILE", 64)
    x = generator(5).normal(size=(400, 6)).astype(np.float32)
    x[generator(6).permutation(400)[:250]] = x[3]
    assert_equal_to_plain(x, 10)


def test_an_outside_search_finds_the_same():
    x = generator(7).normal(size=(2500, 16)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    far, found = NearestNeighbors(n_neighbors=31, algorithm="kd_tree").fit(x.astype(np.float64)).kneighbors()
    indices, distance = nearest_neighbours(x, 31)
    np.testing.assert_array_equal(indices, found)
    np.testing.assert_allclose(distance, far, rtol=1e-9)


def test_on_unit_rows_the_order_is_that_of_cosines():
    x = generator(8).normal(size=(200, 10))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = x @ x.T
    indices, distance = nearest_neighbours(x, 199)
    ranked = np.take_along_axis(cosine, indices, axis=1)
    assert (np.diff(ranked, axis=1) <= 1e-12).all()
    np.testing.assert_allclose(distance**2, 2 - 2 * ranked, atol=1e-12)


def test_fewer_neighbours_are_the_first_of_more_and_a_permutation_permutes():
    x = generator(9).normal(size=(333, 7)).astype(np.float32)
    few, many = nearest_neighbours(x, 5), nearest_neighbours(x, 40)
    np.testing.assert_array_equal(few[0], many[0][:, :5])
    np.testing.assert_array_equal(few[1], many[1][:, :5])
    order = generator(10).permutation(333)
    shuffled = nearest_neighbours(x[order], 5)
    np.testing.assert_array_equal(order[shuffled[0]], few[0][order])
    np.testing.assert_array_equal(shuffled[1], few[1][order])


def test_U2_workers_change_no_bit(monkeypatch):
    monkeypatch.setattr(module, "TILE", 32)
    x = generator(11).integers(-2, 3, size=(800, 3)).astype(np.float32)
    alone = nearest_neighbours(x, 12)
    for count in (2, 4):
        with workers(count):
            together = nearest_neighbours(x, 12)
        np.testing.assert_array_equal(together[0], alone[0])
        np.testing.assert_array_equal(together[1], alone[1])


@pytest.mark.parametrize("seed", range(6))
def test_blocks_may_come_in_any_order(seed, monkeypatch):
    monkeypatch.setattr(module, "TILE", 32)
    monkeypatch.setattr(module, "SPARE", 8)
    # Long runs of duplicates, so that who comes first matters, and lists fill before the first have come.
    x = generator(seed).choice([0.0, 1.0], size=(200, 1), p=[0.8, 0.2]).astype(np.float32)
    search = module._Search(module.dense(x), 20)
    indices, distance = np.empty((200, 20), np.int64), np.empty((200, 20))
    for start in 32 * generator(seed).permutation(7):
        search.meet_later(slice(start, min(start + 32, 200)))
    search.rank(slice(0, 200), indices, distance)
    np.testing.assert_array_equal(indices, plain(x, 20)[0])
    np.testing.assert_array_equal(distance, plain(x, 20)[1])


def test_U8_inputs_stay_and_no_or_one_row_has_no_neighbours():
    x = generator(12).normal(size=(60, 4)).astype(np.float32)
    x.flags.writeable = False
    before = x.copy()
    nearest_neighbours(x, 3)
    np.testing.assert_array_equal(x, before)
    for n in (0, 1):
        indices, distance = nearest_neighbours(x[:n], 3)
        assert indices.shape == distance.shape == (n, 0)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UsageError, match="at least 1, got 0"):
        nearest_neighbours(np.zeros((3, 2)), 0)
    for bad in (np.nan, np.inf, 1e200):
        x = np.zeros((30, 2))
        x[9, 1] = bad
        with pytest.raises(DataError, match="Expected finite points"):
            nearest_neighbours(x, 2)
