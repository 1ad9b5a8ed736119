"""Hubness against loops, and what centring does to it."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import skew

from querist.kernels.hubness import WORRYING, Hubness, hubness
from querist.seeds import Seed


def ties(n: int) -> np.ndarray:
    return Seed(0).key().hash(np.arange(n))


def naive(x, k: int) -> float:
    """The skew by counting: who is among the k nearest others of whom."""
    rows = [tuple(row) for row in x.tolist()]
    rows = [np.array(row) for row in dict.fromkeys(rows)]
    count = [0] * len(rows)
    for i, row in enumerate(rows):
        others = sorted((float(np.square(row - other).sum()), j) for j, other in enumerate(rows) if j != i)
        for _, j in others[:k]:
            count[j] += 1
    return float(skew(count)) if len(set(count)) > 1 else 0.0


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(13, 40), st.integers(2, 5), st.integers(1, 10), st.integers(0, 1000))
def test_it_equals_counting(n, d, k, seed):
    x = unit(np.random.default_rng(seed).normal(size=(n, d)) + 0.5)
    found = hubness(x, ties(n), k=k)
    assert found.raw == pytest.approx(naive(x.astype(np.float64), k), abs=1e-9)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    assert found.centred == pytest.approx(naive(unit(centred).astype(np.float64), k), abs=1e-9)
    assert (found.rows, found.of) == (n, n)


def test_a_common_component_makes_hubs_and_centring_removes_them():
    x = np.random.default_rng(0).normal(size=(1500, 100)) * np.linspace(1, 0.1, 100)
    plain, shifted = hubness(unit(x), ties(1500)), hubness(unit(x + 3.0), ties(1500))
    assert plain.raw < 1.0
    assert shifted.raw > WORRYING
    assert shifted.centred == pytest.approx(plain.centred, abs=0.3)
    assert shifted.worrying
    assert not plain.worrying
    assert "'adaptive', which centres" in shifted.notice
    assert "does not help" in Hubness(9.0, 4.0, 10, 10).notice


def test_one_row_near_everything_is_found():
    # Spokes of a wheel: the hub is the nearest of all, the other neighbours follow a circle.
    angle = 2 * np.pi * np.arange(30) / 30
    x = np.concatenate([np.stack([np.cos(angle), np.sin(angle)], axis=1), [[0.0, 0.0]]]).astype(np.float32)
    count = np.full(31, 0)
    assert hubness(10 * x, ties(31), k=1).raw == pytest.approx(naive(10.0 * x.astype(np.float64), 1), abs=1e-9)
    far = 1000.0 * np.eye(30, dtype=np.float32)
    star = np.concatenate([far, np.zeros((1, 30), np.float32)])
    count[30] = 30
    count[np.argmin(np.square(star[30] - star[:30]).sum(axis=1))] += 1
    assert hubness(star, ties(31), k=1).raw == pytest.approx(skew(count), abs=1e-9)


def test_copies_count_once():
    x = unit(np.random.default_rng(1).normal(size=(60, 4)))
    twice = np.concatenate([x, x[:25], x[:25]])
    assert hubness(twice, ties(110), k=5).raw == pytest.approx(hubness(x, ties(60), k=5).raw, abs=1e-12)


def test_a_sample_of_a_large_set_is_keyed_and_says_so():
    x = unit(np.random.default_rng(2).normal(size=(400, 6)))
    tie = ties(400)
    found = hubness(x, tie, k=5, limit=150)
    sample = np.sort(np.argsort(tie)[:150])
    assert (found.rows, found.of) == (150, 400)
    assert found.raw == hubness(x[sample], tie[sample], k=5).raw
    assert str(found).endswith("on 150 of 400 rows")
    assert "rows" not in str(hubness(x, tie, k=5))
    shuffled = np.random.default_rng(3).permutation(400)
    assert hubness(x[shuffled], tie[shuffled], k=5, limit=150).raw == pytest.approx(found.raw, abs=1e-12)


@pytest.mark.parametrize(
    "x", [np.ones((50, 3)), np.zeros((50, 3)), np.zeros((1, 3)), np.eye(3), np.zeros((0, 3)), np.eye(40)]
)
def test_sets_without_neighbours_have_no_hubs(x):
    found = hubness(x.astype(np.float32), ties(len(x)))
    if len(x) != 40:
        assert (found.raw, found.centred) == (0.0, 0.0)
    assert np.isfinite([found.raw, found.centred]).all()
    assert found.rows == len(x)
