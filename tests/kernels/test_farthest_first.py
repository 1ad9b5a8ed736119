"""Farthest-first traversal against brute force in float64."""

from contextlib import contextmanager
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import farthest_first as lazy, nearest
from querist.kernels.farthest_first import farthest_first, nearest_to_mean
from querist.kernels.workers import workers
from querist.seeds import Seed


@contextmanager
def small_parts(members=5, block=3, chunk=2, direct=0):
    """Pools, blocks and products so small that a handful of rows goes through every path of the lazy search."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (lazy, "POOL", 0), (lazy, "BLOCK", members),
            (nearest, "BLOCK", block), (nearest, "CHUNK", chunk), (nearest, "DIRECT", direct),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        yield


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
    tied = np.flatnonzero(open_ & (x == x[best]).all(axis=1))
    assert tie[best] == tie[tied].min()


def test_nearest_to_mean_breaks_ties_by_hash():
    x = np.array([[-1.0], [1.0], [5.0], [-5.0]])
    for seed in range(8):
        tie = Seed(seed).key().hash(np.arange(4))
        assert nearest_to_mean(x, np.ones(4, bool), tie) == tie[:2].argmin()


@given(worlds(), st.data(), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3))
def test_B2_renewed_pools_equal_brute_force(world, data, members, chunk, direct):
    x, centres, open_, tie = world
    b = data.draw(st.integers(0, int(open_.sum())))
    with small_parts(members, 3, chunk, direct):
        rows, far = farthest_first(x, centres, open_, tie, b)
    expected, distance = brute(x, centres, open_, tie, b)
    assert rows.tolist() == expected
    np.testing.assert_allclose(far, distance, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 7, 8, 33, 130])
def test_B2_duplicates_go_by_hash_however_they_were_measured(dtype, d):
    # Copies of one row meet centres in the first pass, in products of pools, and one by one: equal to the last bit.
    rng = np.random.default_rng(d)
    x = rng.normal(size=(60, d)).astype(dtype)[rng.integers(60, size=900)]
    tie = Seed(d).key().hash(np.arange(900))
    open_ = np.arange(900) >= 9
    whole = farthest_first(x, np.arange(9), open_, tie, 400)
    for members, direct in ((40, 0), (40, 4), (150, 0)):
        with small_parts(members, 16, 8, direct):
            rows, far = farthest_first(x, np.arange(9), open_, tie, 400)
        assert rows.tolist() == whole[0].tolist()
        assert far.tolist() == whole[1].tolist()


def hostile(name):
    """Points for which products in single precision say little or nothing."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 12))
    return {
        "far from the origin": lambda: (x + 1e4).astype(np.float32),
        "huge": lambda: (1e18 * x).astype(np.float32),
        "beyond single precision": lambda: 1e120 * x,
        "tiny": lambda: 1e-130 * x,
        "subnormal": lambda: (1e-42 * x).astype(np.float32),
        "one outlier": lambda: np.concatenate([x, [np.full(12, 1e30)]]).astype(np.float32),
        "rare outliers": lambda: np.concatenate([x, 1e25 * rng.normal(size=(9, 12))]).astype(np.float32),
        "mixed sizes": lambda: x * 10.0 ** rng.integers(-30, 30, size=(3000, 1)),
        "constant columns": lambda: np.column_stack([x[:, :3], np.full((3000, 9), 1e6)]),
    }[name]()


@pytest.mark.parametrize(
    "name",
    ["far from the origin", "huge", "beyond single precision", "tiny", "subnormal", "one outlier", "rare outliers",
     "mixed sizes", "constant columns"],
)  # fmt: skip
def test_N3_N4_lazy_search_is_exact_where_products_mislead(name):
    x = hostile(name)
    tie, open_ = Seed(0).key().hash(np.arange(len(x))), np.arange(len(x)) >= 50
    with small_parts(200, 64, 16, 0):
        rows, far = farthest_first(x, np.arange(50), open_, tie, 120)
    expected, distance = brute(x, np.arange(50), open_, tie, 120)
    np.testing.assert_allclose(far, distance, rtol=1e-9)
    assert rows.tolist() == expected


def test_B2_lazy_search_skips_most_of_the_work_and_stays_exact(monkeypatch):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(20, 32))[rng.integers(20, size=6000)] + 0.3 * rng.normal(size=(6000, 32))).astype(np.float32)
    tie, open_ = Seed(0).key().hash(np.arange(6000)), np.arange(6000) > 0
    pairs = []
    approach = nearest.Nearest._approach

    def spy(self, x_m_d, near_m, met_m):
        pairs.append(int((self._known - met_m).sum()))
        approach(self, x_m_d, near_m, met_m)

    monkeypatch.setattr(nearest.Nearest, "_approach", spy)
    monkeypatch.setattr(lazy, "POOL", 600 * 128)
    monkeypatch.setattr(lazy, "BLOCK", 600)
    rows, far = farthest_first(x, np.array([0]), open_, tie, 300)
    expected, distance = brute(x, np.array([0]), open_, tie, 300)
    assert rows.tolist() == expected
    np.testing.assert_allclose(far, distance, rtol=1e-12)
    assert len(pairs) > 5
    assert sum(pairs) < 0.5 * 6000 * 300


def test_U2_U4_workers_files_and_half_precision_change_nothing(tmp_path):
    x = np.random.default_rng(5).normal(size=(4000, 20)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    tie, open_ = Seed(0).key().hash(np.arange(4000)), np.arange(4000) >= 30
    results = []
    for points, count in ((x.astype(np.float32), 1), (x, 3), (np.load(tmp_path / "x.npy", mmap_mode="r"), 2)):
        with small_parts(300, 64, 16, 4), workers(count):
            results.append(farthest_first(points, np.arange(30), open_, tie, 200))
            assert nearest_to_mean(points, open_, tie) == nearest_to_mean(x, open_, tie)
    for rows, far in results[1:]:
        assert rows.tolist() == results[0][0].tolist()
        assert far.tolist() == results[0][1].tolist()
