"""Robust k-center against a search of all batches."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from querist.errors import UsageError
from querist.kernels import robust_center as module
from querist.kernels.robust_center import robust_k_center

LOOSE = {"pairs": 10**6, "nodes": 10**5, "tolerance": 0.0, "seconds": 60.0}


def radius_of(x, centres, outliers):
    gap = np.linalg.norm(x[:, None] - x[None, centres], axis=2).min(axis=1)
    return np.sort(gap)[len(x) - 1 - outliers]


def optimum(x, labelled, open_, b, outliers):
    free = np.flatnonzero(open_)
    return min(radius_of(x, [*labelled, *batch], outliers) for batch in combinations(free, b))


def points(n, d=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def ties(n, seed=0):
    return np.random.default_rng(seed).permutation(n).astype(np.uint64)


@pytest.mark.parametrize("outliers", [0, 1, 3])
@pytest.mark.parametrize("labelled", [[], [4], [1, 7]])
def test_M24_equals_the_optimum_of_all_batches(outliers, labelled):
    for seed in range(6):
        n, b = 9 + seed % 4, 1 + seed % 3
        x = points(n, seed=seed)
        if seed == 5:
            x = np.round(x)  # ties and duplicates
        open_ = ~np.isin(np.arange(n), labelled)
        found = robust_k_center(x, np.array(labelled, int), open_, ties(n, seed), b, outliers=outliers, **LOOSE)
        best = optimum(x, labelled, open_, b, outliers)
        assert found.exact
        assert not found.greedy
        assert found.radius == pytest.approx(best, abs=1e-12)
        assert len(set(found.rows.tolist())) == b
        assert open_[found.rows].all()
        assert radius_of(x, [*labelled, *found.rows], outliers) == pytest.approx(best, abs=1e-9)


def test_rows_that_may_not_be_picked_are_covered_all_the_same():
    for seed in range(5):
        x = points(12, seed=seed)
        open_ = np.random.default_rng(seed).random(12) < 0.5
        found = robust_k_center(x, np.array([0]), open_ & (np.arange(12) > 0), ties(12), 2, outliers=0, **LOOSE)
        assert found.radius == pytest.approx(optimum(x, [0], open_ & (np.arange(12) > 0), 2, 0))


def test_the_radius_is_never_above_that_of_greedy_picks():
    for seed in range(5):
        x = points(120, 3, seed)
        everything = np.ones(120, bool)
        greedy = robust_k_center(x, np.array([], int), everything, ties(120), 12, outliers=0, **{**LOOSE, "pairs": 0})
        exact = robust_k_center(x, np.array([], int), everything, ties(120), 12, outliers=0, **LOOSE)
        assert greedy.greedy
        assert not exact.greedy
        assert 0.5 * greedy.radius <= exact.radius < greedy.radius
        assert greedy.radius == pytest.approx(radius_of(x, greedy.rows, 0))
        assert (np.diff(greedy.gap[1:]) <= 0).all()


def test_a_planted_outlier_is_ignored_if_there_may_be_one():
    x = np.vstack([np.repeat(np.eye(4), 8, axis=0) + 0.05 * points(32, 4), [[50.0] * 4]])
    everything = np.ones(33, bool)
    for b in (4, 6):
        one, none = (
            robust_k_center(x, np.array([], int), everything, ties(33), b, outliers=k, **LOOSE) for k in (1, 0)
        )
        assert 32 not in one.rows
        assert 32 in none.rows
        assert one.radius < 0.5
    assert len(robust_k_center(x, np.array([], int), everything, ties(33), 33, outliers=1, **LOOSE).rows) == 33


def test_numbering_decides_nothing():
    x, tie, order = points(40), ties(40), np.random.default_rng(9).permutation(40)
    everything, nothing = np.ones(40, bool), np.array([], int)
    straight = robust_k_center(x, nothing, everything, tie, 5, outliers=2, **LOOSE)
    shuffled = robust_k_center(x[order], nothing, everything, tie[order], 5, outliers=2, **LOOSE)
    assert sorted(order[shuffled.rows]) == sorted(straight.rows)


def test_nothing_left_to_cover_is_no_programme():
    x = np.repeat(points(3), 4, axis=0)
    found = robust_k_center(
        x, np.array([0, 4, 8]), ~np.isin(np.arange(12), [0, 4, 8]), ties(12), 5, outliers=0, **LOOSE
    )
    assert found.radius == 0.0
    assert found.exact
    assert len(set(found.rows.tolist())) == 5


def test_a_tolerance_saves_programmes_and_costs_that_much_at_most():
    x, everything, nothing = points(80, 2), np.ones(80, bool), np.array([], int)
    best = robust_k_center(x, nothing, everything, ties(80), 8, outliers=0, **LOOSE)
    near = robust_k_center(x, nothing, everything, ties(80), 8, outliers=0, **{**LOOSE, "tolerance": 0.2})
    assert best.radius <= near.radius <= best.radius / 0.8 + 1e-12
    assert near.radius == pytest.approx(radius_of(x, near.rows, 0), abs=0.2 * best.radius)


def test_a_clock_never_decides():
    x = points(60)
    with pytest.raises(UsageError, match="seconds"):
        robust_k_center(
            x,
            np.array([], int),
            np.ones(60, bool),
            ties(60),
            6,
            outliers=0,
            pairs=10**6,
            nodes=10,
            tolerance=0.0,
            seconds=1e-9,
        )


def test_a_clock_never_decides_between_coverings_either(monkeypatch):
    clock, solved = [0.0], module.milp

    def late(cost, **settings):
        found = solved(cost, **settings)
        if not cost.any():
            return found
        clock[0] = 61.0  # the last programme, for the fewest picks, is cut short with a covering in hand
        return SimpleNamespace(x=found.x, status=1)

    monkeypatch.setattr(module, "milp", late)
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    with pytest.raises(UsageError, match="seconds"):
        robust_k_center(points(60), np.array([], int), np.ones(60, bool), ties(60), 6, outliers=0, **LOOSE)


def test_what_is_undecided_within_the_nodes_is_taken_for_impossible(monkeypatch):
    class Undecided:
        x, status = None, 1

    monkeypatch.setattr(module, "milp", lambda *_, **__: Undecided)
    x = points(60)
    found = robust_k_center(x, np.array([], int), np.ones(60, bool), ties(60), 6, outliers=0, **LOOSE)
    assert not found.exact
    assert not found.greedy
    assert found.radius == pytest.approx(radius_of(x, found.rows, 0))
