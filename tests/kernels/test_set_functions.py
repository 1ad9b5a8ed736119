"""Set functions against their definitions: every gain is a difference of values, and lazy picks are naive ones."""

from itertools import combinations

import numpy as np
import pytest

from querist.kernels.likeness import Likeness
from querist.kernels.maximise import maximise
from querist.kernels.set_functions import DistanceSum, FeatureMass, GraphCut, QueryCover, QueryMass
from querist.seeds import Seed

N, QUERY = 16, np.array([12, 13, 15])
G = {"sqrt": np.sqrt, "log": np.log1p, "inverse": lambda m: m / (1 + m), "linear": lambda m: m}


def unit(n, d, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


X = unit(N, 4)
LIKE = Likeness(X)
S = (1 + X @ X.T) / 2
SIGNED = np.column_stack([np.maximum(X, 0), np.maximum(-X, 0)])


def graph_cut(redundancy):
    def value(a):
        return S[:12][:, a].sum() - redundancy * S[np.ix_(a, a)].sum()

    return lambda: GraphCut(LIKE, LIKE.total(np.arange(12)), redundancy, N), value


def query_cover(eta):
    def value(a):
        s = S[np.ix_(QUERY, a)]
        return s.max(axis=1, initial=0).sum() + eta * s.max(axis=0).sum() if len(a) else 0.0

    return lambda: QueryCover(LIKE, QUERY, eta), value


def query_mass(eta, name):
    def value(a):
        s = S[np.ix_(QUERY, a)]
        return eta * G[name](s.sum(axis=0)).sum() + G[name](s.sum(axis=1)).sum()

    return lambda: QueryMass(LIKE, QUERY, eta, name), value


FUNCTIONS = {
    "graph_cut": graph_cut(1.0),
    "graph_cut_monotone": graph_cut(0.5),
    "graph_cut_modular": graph_cut(0.0),
    "query_cover": query_cover(1.0),
    "query_cover_alone": query_cover(0.0),
    **{f"query_mass_{name}": query_mass(0.7, name) for name in G},
    **{
        f"feature_mass_{name}": (
            lambda name=name: FeatureMass(X, name),
            lambda a, name=name: G[name](SIGNED[a].sum(axis=0)).sum(),
        )
        for name in G
    },
    "distance_sum": (
        lambda: DistanceSum(X),
        lambda a: sum(float(np.linalg.norm(X[i] - X[j])) for i, j in combinations(a, 2)),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gains_are_finite_differences_at_every_step(name):
    make, value = FUNCTIONS[name]
    objective, picked = make(), []
    for step in range(8):
        rest = np.setdiff1d(np.arange(12), picked)
        expected = np.array([value([*picked, row]) - value(picked) for row in rest])
        some = np.arange(len(rest)) % (step + 1) == 0  # the others meet several picks at once, later
        np.testing.assert_allclose(objective.gains(rest[some]), expected[some], atol=1e-9)
        picked.append(int(rest[some][-1]))
        objective.add(picked[-1])


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "distance_sum"])
def test_lazy_picks_are_naive_picks_to_the_last_bit(name):
    make, value = FUNCTIONS[name]
    rows = np.arange(12)
    naive, lazy = (maximise(make(), rows, rows, 12, Seed(0).key(), method) for method in ("naive", "lazy"))
    assert lazy[0].tolist() == naive[0].tolist()
    assert lazy[1].tolist() == naive[1].tolist()
    assert lazy[1].sum() == pytest.approx(value(list(rows)), abs=1e-9)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("distance_sum", "graph_cut")])
@pytest.mark.parametrize("b", [2, 4])
def test_greedy_reaches_1_minus_1_over_e_of_the_best_where_monotone_and_submodular(name, b):
    make, value = FUNCTIONS[name]
    rows = np.arange(12)
    picked, gain = maximise(make(), rows, rows, b, Seed(0).key())
    assert gain.sum() == pytest.approx(value(picked.tolist()))
    best = max(value(list(some)) for some in combinations(rows.tolist(), b))
    assert gain.sum() >= (1 - 1 / np.e) * best
    if name.endswith(("modular", "linear")):
        assert gain.sum() == pytest.approx(best)


def test_distances_add_up_so_gains_grow():
    objective, gains = DistanceSum(X), []
    for row in (0, 1, 2, 3):
        gains.append(objective.gains(np.array([9]))[0])
        objective.add(row)
    assert (np.diff(gains) > 0).all()


def test_rows_that_are_equal_gain_equally_to_the_last_bit():
    x = np.repeat(unit(4, 5).astype(np.float32), 3, axis=0)
    like = Likeness(x)
    objectives = [
        GraphCut(like, like.total(np.arange(12)), 1.0, 2), QueryCover(like, np.array([0, 5]), 1.0),
        QueryMass(like, np.array([0, 5]), 1.0, "log"), FeatureMass(x, "sqrt"), DistanceSum(x),
    ]  # fmt: skip
    for objective in objectives:
        for _ in range(2):
            gain = objective.gains(np.arange(12)).reshape(4, 3)
            assert (gain == gain[:, :1]).all()
            objective.add(7)


def test_an_empty_query_gains_nothing():
    for objective in (QueryCover(LIKE, QUERY[:0], 1.0), QueryMass(LIKE, QUERY[:0], 1.0, "sqrt")):
        objective.add(3)
        assert objective.gains(np.arange(12)).tolist() == [0] * 12
