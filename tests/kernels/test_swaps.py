"""k-medoids against all sets of medoids and all swaps."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels import pairs, swaps as module
from querist.kernels.coverage import Coverage, closeness, greedy_cover
from querist.kernels.swaps import k_medoids
from querist.seeds import Seed


def distances(x):
    x = x.astype(float)
    return np.sqrt(np.square(x[:, None] - x[None]).sum(axis=2))


def total(apart, medoids):
    return apart[:, list(medoids)].min(axis=1).sum()


@st.composite
def worlds(draw):
    """Points on a small grid, so full of ties and duplicates; something to pick, and at times something labelled."""
    n, d = draw(st.integers(2, 11)), draw(st.integers(1, 3))
    x = np.array(draw(st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=n, max_size=n)))
    centres = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n - 1))
    open_ = np.ones(n, bool)
    open_[centres] = False
    tie = Seed(draw(st.integers(0, 9))).key().hash(np.arange(n))
    return x.astype(np.float32), np.array(centres, np.intp), open_, tie


@given(worlds(), st.data())
def test_no_swap_is_better_and_one_medoid_is_the_best_there_is(world, data):
    x, centres, open_, tie = world
    apart, candidates = distances(x), np.flatnonzero(open_)
    b = data.draw(st.integers(1, min(3, len(candidates))))
    rows, size = k_medoids(x, centres, open_, tie, b, reach=8.0)
    assert open_[rows].all()
    assert len(set(rows.tolist())) == len(rows)
    reached = total(apart, [*centres, *rows])
    if len(rows) < b:
        assert reached == 0
        return
    best = min(total(apart, [*centres, *some]) for some in combinations(candidates, b))
    neighbours = [
        total(apart, [*centres, *np.setdiff1d(rows, [out]), row])
        for out in rows
        for row in np.setdiff1d(candidates, rows)
    ]
    assert reached <= min(neighbours, default=reached) + 1e-9
    assert reached >= best - 1e-9
    if b == 1:
        assert reached == pytest.approx(best)
    assert (np.diff(size) <= 0).all()


@pytest.mark.parametrize("labelled", [0, 4])
def test_swaps_reach_the_optimum_mostly_and_the_greedy_start_less_often(labelled):
    found, at_first, excess = 0, 0, 0.0
    for seed in range(60):
        x = np.random.default_rng(seed).normal(size=(12, 2)).astype(np.float32)
        apart, open_, tie = distances(x), np.arange(12) >= labelled, Seed(seed).key().hash(np.arange(12))
        fixed = np.arange(labelled)
        best = min(total(apart, [*fixed, *some]) for some in combinations(range(labelled, 12), 3))
        reached = total(apart, [*fixed, *k_medoids(x, fixed, open_, tie, 3, reach=16.0)[0]])
        greedy = total(apart, [*fixed, *k_medoids(x, fixed, open_, tie, 3, reach=16.0, swaps=False)[0]])
        assert reached <= greedy + 1e-9
        found += reached == pytest.approx(best)
        at_first += greedy == pytest.approx(best)
        excess += (reached / best - 1) / 60
    assert found >= 45
    assert at_first < found
    assert excess < 0.02


@pytest.mark.parametrize("labelled", [0, 25])
def test_what_is_kept_up_to_date_equals_a_fresh_start_after_every_swap(labelled, monkeypatch):
    n = 400
    x = np.random.default_rng(0).normal(size=(n, 6)) ** 3
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    apart, tie, open_ = distances(x), Seed(0).key().hash(np.arange(n)), np.arange(n) >= labelled
    sums, replace = [], module._Nearest.replace

    def checked(self, slot, row, coverage):
        if not sums:
            sums.append(total(apart, self.centres))
        replace(self, slot, row, coverage)
        sums.append(total(apart, self.centres))
        close = np.rint(pairs.UNIT * (1 - apart[:, self.centres] / 2))
        np.testing.assert_allclose(self.first_N, close.max(axis=1), atol=1)
        np.testing.assert_allclose(self._second_N, np.sort(close, axis=1)[:, -2], atol=1)
        np.testing.assert_allclose(close[np.arange(n), self.owner_N], self.first_N, atol=1)
        np.testing.assert_allclose(close[np.arange(n), self._other_N], self._second_N, atol=1)
        assert (self.owner_N != self._other_N).all()

    monkeypatch.setattr(module._Nearest, "replace", checked)
    seen = []
    losses = module._Nearest.losses

    def looked(self, slot):
        seen.append((coverage.gain_N.copy(), self.centres.copy()))
        return losses(self, slot)

    class Watched(Coverage):
        def __init__(self, *args):
            nonlocal coverage
            super().__init__(*args)
            coverage = self

    coverage = None
    monkeypatch.setattr(module, "Coverage", Watched)
    monkeypatch.setattr(module._Nearest, "losses", looked)
    rows, size = k_medoids(x, np.arange(labelled), open_, tie, 40)
    assert len(sums) > 5
    assert (np.diff(sums) < 0).all()
    for gain, centres in seen[:: max(1, len(seen) // 10)]:
        assert gain.tolist() == Coverage(x, closeness(2.0), centres).gain_N.tolist()
    for out in rows:
        others = apart[:, [*range(labelled), *np.setdiff1d(rows, [out])]].min(axis=1)
        assert np.minimum(others[:, None], apart[:, open_]).sum(axis=0).min() >= sums[-1] - 1e-9
    nearest = apart[:, [*range(labelled), *rows]].argmin(axis=1)
    assert size.tolist() == np.bincount(nearest, minlength=labelled + 40)[labelled:].tolist()


def test_the_greedy_start_is_facility_location_with_the_same_closeness():
    x, tie = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32), Seed(0).key().hash(np.arange(80))
    open_ = np.arange(80) >= 5
    rows, _ = k_medoids(x, np.arange(5), open_, tie, 12, swaps=False, reach=32.0)
    same, _ = greedy_cover(x, closeness(32.0), np.arange(5), open_, tie, 12)
    assert sorted(rows) == sorted(same)


def test_C2_a_pool_of_duplicates_gives_fewer_rows_and_inputs_stay():
    x, tie, open_ = np.ones((9, 3), np.float32), Seed(0).key().hash(np.arange(9)), np.ones(9, bool)
    for array in (x, tie, open_):
        array.flags.writeable = False
    rows, size = k_medoids(x, np.empty(0, np.intp), open_, tie, 4)
    assert (rows.tolist(), size.tolist()) == ([int(tie.argmin())], [9])
    rows, size = k_medoids(x, np.array([3]), np.arange(9) != 3, tie, 4)
    assert len(rows) == len(size) == 0


@given(worlds())
@settings(max_examples=30)
def test_all_rows_at_once(world):
    x, centres, open_, tie = world
    rows, size = k_medoids(x, centres, open_, tie, int(open_.sum()), reach=8.0)
    distinct = len(np.unique(x, axis=0)) - len(np.unique(x[centres], axis=0))
    assert len(rows) == distinct
    assert size.sum() + (len(x) if len(centres) else 0) >= len(x)
