"""Fisher information and its greedy batches against matrices written out and inverted."""

from itertools import combinations

import numpy as np
import pytest

from querist.kernels import fisher as module
from querist.kernels.fisher import forward_backward, information, leading


def world(n=12, c=3, r=2, seed=0, concentration=0.6):
    rng = np.random.default_rng(seed)
    p, z = rng.dirichlet(np.full(c, concentration), n), rng.normal(size=(n, r))
    return p, z, rng.permutation(n).astype(np.uint64)


def single(p, z):
    """Expectation over labels of the outer product of the gradient, written out."""
    total = 0.0
    for k in range(len(p)):
        gradient = np.kron(np.eye(len(p))[k] - p, z)
        total = total + p[k] * np.outer(gradient, gradient)
    return total


def objective(p, z, f, known, share, rows):
    return np.trace(np.linalg.inv(known + share * sum((single(p[i], z[i]) for i in rows), np.zeros_like(f))) @ f)


def naive(p, z, f, known, share, b, forward):
    rows, gain = [], []
    for _ in range(forward):
        before = objective(p, z, f, known, share, rows)
        value = {i: objective(p, z, f, known, share, [*rows, i]) for i in range(len(p)) if i not in rows}
        rows.append(min(value, key=value.get))
        gain.append(before - value[rows[-1]])
    while len(rows) > b:
        value = {i: objective(p, z, f, known, share, [j for j in rows if j != i]) for i in rows}
        place = rows.index(min(value, key=value.get))
        rows.pop(place)
        gain.pop(place)
    return rows, gain


def test_information_is_the_expected_outer_product_of_gradients(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 20)
    p, z, _ = world(40)
    np.testing.assert_allclose(information(p, z), sum(single(*row) for row in zip(p, z, strict=True)), atol=1e-12)


@pytest.mark.parametrize(("c", "r"), [(3, 2), (2, 4), (6, 1)])
@pytest.mark.parametrize("share", [0.05, 1.0, 9.0])
def test_equals_the_naive_search_with_direct_inverses(c, r, share, monkeypatch):
    monkeypatch.setattr(module, "ANEW", 3)
    for seed in range(5):
        p, z, tie = world(14, c, r, seed)
        f, known = information(p, z) / 14, 0.3 * np.eye(c * r) + information(p[:2], z[:2])
        batch = forward_backward(p, z, f, known, share, tie, 4, forward=9)
        rows, gain = naive(p, z, f, known, share, 4, 9)
        assert batch.rows.tolist() == rows
        np.testing.assert_allclose(batch.gain, gain, rtol=1e-7)
        assert batch.backward[-1] == pytest.approx(objective(p, z, f, known, share, rows), rel=1e-9)


@pytest.mark.parametrize("anew", [1, 10_000])
def test_updates_equal_fresh_inverses_and_the_objective_falls_then_rises(anew, monkeypatch):
    monkeypatch.setattr(module, "ANEW", anew)
    p, z, tie = world(150, 4, 3)
    f, known = information(p, z) / 150, 0.1 * np.eye(12)
    batch = forward_backward(p, z, f, known, 2.0, tie, 20, forward=40)
    assert (np.diff(batch.forward) < 0).all()
    assert (np.diff(np.append(batch.forward[-1], batch.backward)) > 0).all()
    assert batch.forward[0] == pytest.approx(objective(p, z, f, known, 2.0, []))
    assert batch.backward[-1] == pytest.approx(objective(p, z, f, known, 2.0, batch.rows.tolist()), rel=1e-10)


def test_one_pick_equals_an_exhaustive_search_and_pairs_come_close():
    for seed in range(10):
        p, z, tie = world(12, seed=seed)
        f, known = information(p, z) / 12, np.eye(6)
        value = [objective(p, z, f, known, 1.0, [i]) for i in range(12)]
        assert forward_backward(p, z, f, known, 1.0, tie, 1, forward=1).rows.tolist() == [int(np.argmin(value))]
        pair = forward_backward(p, z, f, known, 1.0, tie, 2, forward=4).rows.tolist()
        best = min(objective(p, z, f, known, 1.0, two) for two in combinations(range(12), 2))
        start = objective(p, z, f, known, 1.0, [])
        assert start - objective(p, z, f, known, 1.0, pair) > 0.9 * (start - best)


def test_N1_certain_rows_add_nothing_and_ties_go_by_hash():
    p = np.vstack([np.eye(3)[[0] * 5], [[0.5, 0.5, 0.0]] * 3])
    z = np.vstack([np.ones((5, 2)), [[1.0, 0.5]] * 3])
    tie = np.array([3, 1, 2, 0, 4, 7, 5, 6], np.uint64)
    batch = forward_backward(p, z, information(p, z) / 8, np.eye(6), 1.0, tie, 8, forward=8)
    assert batch.rows.tolist() == [6, 7, 5, 3, 1, 2, 0, 4]
    np.testing.assert_allclose(batch.gain[3:], 0.0, atol=1e-15)


def test_leading_axes_keep_scale_and_mean():
    rng = np.random.default_rng(0)
    x = (3.0 + rng.normal(size=(200, 6)) * [5, 3, 1, 0.1, 0.1, 0.1]).astype(np.float32)
    np.testing.assert_array_equal(leading(x, 6), x)
    z = leading(x, 3)
    values = np.linalg.eigvalsh(x.T.astype(np.float64) @ x)[::-1]
    np.testing.assert_allclose(np.square(z).sum(axis=0), values[:3], rtol=1e-6)


def test_the_bound_is_the_trace_it_says():
    p, z, _ = world(30, 4, 3)
    f, known = information(p, z) / 30, 0.2 * np.eye(12)
    search = module._Search(p, z, f, known, 0.7)
    a = np.linalg.inv(known)
    expected = [0.7 * np.trace(single(p[i], z[i]) @ a @ f @ a) for i in range(30)]
    np.testing.assert_allclose(search._bounds(np.arange(30)), expected, rtol=1e-10)
    for sign in (1.0, -1.0):
        before, m = np.trace(a @ f), [known + sign * 0.02 * single(p[i], z[i]) for i in range(30)]
        change = [sign * (before - np.trace(np.linalg.inv(one) @ f)) for one in m]
        np.testing.assert_allclose(
            module._Search(p, z, f, known, 0.02)._changes_of(np.arange(30), sign), change, rtol=1e-7
        )


def test_the_bound_rules_nothing_out_that_would_win(monkeypatch):
    p, z, tie = world(500, 3, 3, concentration=0.3)
    f, known = information(p, z) / 500, 0.05 * np.eye(9)
    lazy = forward_backward(p, z, f, known, 5.0, tie, 60, forward=160)

    def all_at_once(self, rows, bound, tie_n, sign):
        value = sign * self._changes_of(rows, sign)
        return int(rows[value.argmax()]), float(value.max())

    monkeypatch.setattr(module._Search, "_searched", all_at_once)
    whole = forward_backward(p, z, f, known, 5.0, tie, 60, forward=160)
    assert lazy.rows.tolist() == whole.rows.tolist()
    np.testing.assert_allclose(lazy.gain, whole.gain, rtol=1e-9)
