"""Log-determinants by incremental Cholesky, against determinants."""

from itertools import combinations

import numpy as np
import pytest

from querist.kernels import log_det as module
from querist.kernels.likeness import Likeness
from querist.kernels.log_det import Difference, LogDet
from querist.kernels.maximise import maximise
from querist.seeds import Seed

N = 24


def unit(n, d, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


LIKE = Likeness(unit(N, 5), unit(N, 3, 1))
S = LIKE.between(np.arange(N), np.arange(N))


def kernel(ridge, given=()):
    """The whole matrix, similarities to given groups scaled."""
    k, scale, group = S.copy(), np.ones(N), np.full(N, -1)
    for i, (rows, factor) in enumerate(given):
        scale[rows], group[rows] = factor, i
    apart = group[:, None] != group[None]
    return np.where(apart, scale[:, None] * scale[None] * k, k) + ridge * np.eye(N)


def logdet(k, rows):
    return np.linalg.slogdet(k[np.ix_(list(rows), list(rows))])[1] if len(rows) else 0.0


GIVEN = {
    "none": [],
    "one": [(np.array([20, 23]), 1.0)],
    "scaled": [(np.array([20, 23]), 0.5)],
    "two": [(np.array([21]), 0.7), (np.array([20, 23, 22]), 0.9)],
    "empty": [(np.empty(0, np.intp), 1.0)],
}


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize(("ridge", "atol"), [(1.0, 1e-6), (0.05, 1e-5), (1e-4, 1e-8)])
def test_gains_are_log_ratios_of_determinants_at_every_step(name, ridge, atol):
    given, objective, picked = GIVEN[name], LogDet(LIKE, ridge, 10, GIVEN[name]), []
    k, fixed = kernel(ridge, GIVEN[name]), [int(row) for rows, _ in given for row in rows]
    for step in range(10):
        rest = np.setdiff1d(np.arange(20), picked)
        expected = np.array([logdet(k, [*fixed, *picked, row]) - logdet(k, [*fixed, *picked]) for row in rest])
        some = np.arange(len(rest)) % (step + 1) == 0  # rows meet picks late, and many at once
        np.testing.assert_allclose(objective.gains(rest[some]), expected[some], atol=atol)
        picked.append(int(rest[some][np.argmax(expected[some])]))
        objective.add(picked[-1])


@pytest.mark.parametrize("block", [1, 5, 1024])
def test_lazy_equals_naive_to_the_last_bit(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    rows, given = np.arange(20), GIVEN["two"]
    runs = [maximise(LogDet(LIKE, 0.1, 20, given), rows, rows, 20, Seed(0).key(), m) for m in ("naive", "lazy")]
    assert runs[0][0].tolist() == runs[1][0].tolist()
    assert runs[0][1].tolist() == runs[1][1].tolist()
    assert (np.diff(runs[0][1]) <= 0).all()


def test_equals_greedy_determinant_by_brute_force():
    rows, k = np.arange(12), kernel(1.0)
    picked, gain = maximise(LogDet(LIKE, 1.0, 4), rows, rows, 4, Seed(0).key())
    for step in range(1, 4):
        best = max(logdet(k, [*picked[:step], row]) for row in rows if row not in picked[:step])
        assert logdet(k, picked[: step + 1]) == pytest.approx(best, abs=1e-6)
    best = max(logdet(k, some) for some in combinations(rows, 4))
    assert gain.sum() >= (1 - 1 / np.e) * best


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 0.5])
def test_a_duplicate_of_a_pick_adds_log_two_ridges_and_never_minus_infinity(ridge):
    x = np.repeat(unit(3, 4), 5, axis=0)
    objective = LogDet(Likeness(x), ridge, 15)
    objective.add(0)
    assert objective.gains(np.array([1]))[0] == pytest.approx(np.log((2 + ridge) * ridge / (1 + ridge)), rel=1e-5)
    rows = np.arange(15)
    _, gain = maximise(LogDet(Likeness(x), ridge, 15), rows, rows, 15, Seed(0).key())
    assert np.isfinite(gain).all()
    assert gain.min() >= np.log(ridge) - 1e-9


def test_the_difference_is_information():
    query = np.array([20, 22])
    k = kernel(1.0)
    information = Difference(LogDet(LIKE, 1.0, 5), LogDet(LIKE, 1.0, 5, [(query, 1.0)]))
    picked, total = [3, 9, 4], 0.0
    for row in picked:
        total += information.gains(np.array([row]))[0]
        information.add(row)
    assert total == pytest.approx(logdet(k, picked) + logdet(k, query) - logdet(k, [*picked, *query]), abs=1e-6)
    nothing = Difference(LogDet(LIKE, 1.0, 5), LogDet(LIKE, 1.0, 5, [(query[:0], 1.0)]))
    assert nothing.gains(np.arange(20)).tolist() == [0] * 20
