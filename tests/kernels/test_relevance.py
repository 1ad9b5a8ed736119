"""Draws by relevance against the definition, written out."""

import numpy as np
import pytest

from querist.kernels import relevance
from querist.kernels.relevance import relevance_draws
from querist.seeds import Seed

KEY = Seed(0).key()


def simplex(n, c, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(c, 0.4), n)


def naive(p, u, b, ids, key, gamma):
    """One row at a time: u + rescaled distance, a full race between all rows that are left."""
    near, left, rows, values, chances = u.copy(), list(range(len(p))), [], [], []
    for step in range(b):
        if rows:
            near = np.array([min(near[i], np.abs(p[i] - p[rows[-1]]).sum()) for i in range(len(p))])
        least, most = min(near[left]), max(near[left])
        r = {i: u[i] + ((near[i] - least) / (most - least) if most > least else 0.0) for i in left}
        top = max(r.values())
        w = {i: (r[i] / top) ** gamma if top > 0 else 1.0 for i in left}
        noise = -np.log(key.child("step", step).uniform(ids))
        first = min((i for i in left if w[i] > 0), key=lambda i: np.log(noise[i]) - np.log(w[i]))
        rows.append(first)
        values.append(r[first])
        chances.append(w[first] / sum(w.values()))
        left.remove(first)
    return rows, values, chances


@pytest.mark.parametrize("gamma", [0.0, 1.0, 10.0, 300.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_naive_race(gamma, dtype):
    for seed in range(4):
        p = simplex(60, 4, seed).astype(dtype)
        u = 1.0 - (np.sort(p, axis=1)[:, -1] - np.sort(p, axis=1)[:, -2]).astype(np.float64)
        ids, key = np.arange(60) * 3 + 1, Seed(seed).key()
        rows, values, chances = relevance_draws(p, u, 60, ids, key, gamma=gamma)
        expected = naive(p.astype(np.float64), u, 60, ids, key, gamma)
        assert rows.tolist() == expected[0]
        np.testing.assert_allclose(values, expected[1], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(chances, expected[2], rtol=1e-9)


def test_following_a_race_a_shorter_time_changes_nothing(monkeypatch):
    p, u = simplex(300, 5), np.random.default_rng(1).random(300)
    whole = relevance_draws(p, u, 40, np.arange(300), KEY, gamma=3.0)
    for patience in (1e-9, 0.5, 1e9):
        monkeypatch.setattr(relevance, "PATIENCE", patience)
        for one, other in zip(whole, relevance_draws(p, u, 40, np.arange(300), KEY, gamma=3.0), strict=True):
            np.testing.assert_array_equal(one, other)


def test_draws_follow_the_weights():
    p, u = np.tile([0.5, 0.5], (4, 1)), np.array([0.1, 0.4, 0.2, 0.3])
    weight = u + (u - 0.1) / 0.3
    counts = np.zeros(4)
    for seed in range(3000):
        counts[relevance_draws(p, u, 1, np.arange(4), Seed(seed).key(), gamma=2.0)[0][0]] += 1
    expected = 3000 * weight**2 / (weight**2).sum()
    assert ((counts - expected) ** 2 / expected).sum() < 30.7  # chi-square with 3 degrees of freedom, 1e-6


def test_C2_without_any_relevance_all_rows_are_equally_likely_and_none_comes_twice():
    p, first = np.tile([1.0, 0.0], (6, 1)), np.zeros(6)
    for seed in range(600):
        rows, values, chances = relevance_draws(p, np.zeros(6), 6, np.arange(6), Seed(seed).key(), gamma=10.0)
        assert sorted(rows) == [0, 1, 2, 3, 4, 5]
        assert values.tolist() == [0.0] * 6
        np.testing.assert_allclose(chances, 1 / np.arange(6, 0, -1))
        first[rows[0]] += 1
    assert ((first - 100) ** 2 / 100).sum() < 35.9
