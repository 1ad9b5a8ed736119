"""Maximisers of set functions: lazy is naive, samples are samples, and greedy is near the best."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.kernels import maximise as module
from querist.kernels.maximise import maximise
from querist.seeds import Seed


class Cover:
    """A weighted set cover, which counts how many gains were asked for."""

    def __init__(self, covers, weight):
        self.covers, self.weight, self.asked = covers, weight, 0
        self.done = np.zeros(covers.shape[1], bool)

    def gains(self, rows):
        self.asked += len(rows)
        return (self.covers[rows] & ~self.done) @ self.weight

    def add(self, row):
        self.done |= self.covers[row]


@st.composite
def worlds(draw):
    """Whole-number weights, so that sums are exact and ties are ties."""
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    covers = rng.random((n, m)) < draw(st.sampled_from([0.1, 0.4, 0.8]))
    return covers, rng.integers(0, 4, m).astype(float), Seed(draw(st.integers(0, 9))).key()


def naive(covers, weight, tie, b):
    done, left, picked, gains = np.zeros(covers.shape[1], bool), set(range(len(covers))), [], []
    for _ in range(b):
        value = {row: float(weight[covers[row] & ~done].sum()) for row in left}
        row = min(left, key=lambda row: (-value[row], tie[row]))
        picked, gains, done = [*picked, row], [*gains, value[row]], done | covers[row]
        left.remove(row)
    return picked, gains


@pytest.mark.parametrize("method", ["naive", "lazy"])
@given(world=worlds(), data=st.data())
def test_M11_equals_plain_greedy_in_picks_gains_and_ties(method, world, data):
    covers, weight, key = world
    b, ids = data.draw(st.integers(0, len(covers))), np.arange(len(covers)) * 3 + 1
    rows, gain = maximise(Cover(covers, weight), np.arange(len(covers)), ids, b, key, method)
    picked, gains = naive(covers, weight, key.hash(ids), b)
    assert rows.tolist() == picked
    assert gain.tolist() == gains


@given(world=worlds(), data=st.data())
def test_greedy_reaches_1_minus_1_over_e_of_the_best(world, data):
    covers, weight, key = world
    n = len(covers)
    b = data.draw(st.integers(1, min(3, n)))
    _, gain = maximise(Cover(covers, weight), np.arange(n), np.arange(n), b, key)
    best = max(float(covers[list(some)].any(axis=0) @ weight) for some in combinations(range(n), b))
    assert gain.sum() >= (1 - 1 / np.e) * best - 1e-9


@pytest.mark.parametrize("epsilon", [0.9, 0.3, 0.01])
@given(world=worlds(), data=st.data())
def test_lazier_than_lazy_makes_the_picks_of_stochastic(epsilon, world, data):
    covers, weight, key = world
    n = len(covers)
    b, ids = data.draw(st.integers(0, n)), np.arange(n)
    one, other = (
        maximise(Cover(covers, weight), ids, ids, b, key, method, epsilon)
        for method in ("stochastic", "lazier_than_lazy")
    )
    assert one[0].tolist() == other[0].tolist()
    assert one[1].tolist() == other[1].tolist()
    assert len(set(one[0].tolist())) == b


def large(n=400):
    rng = np.random.default_rng(0)
    return rng.random((n, 300)) < 0.05, rng.integers(1, 9, 300).astype(float)


def test_what_is_asked_for():
    covers, weight = large()
    rows, key, asked = np.arange(400), Seed(0).key(), {}
    for method in ("naive", "lazy", "stochastic", "lazier_than_lazy"):
        cover = Cover(covers, weight)
        maximise(cover, rows, rows, 40, key, method, 0.1)
        asked[method] = cover.asked
    assert asked["naive"] == sum(range(361, 401))
    assert asked["stochastic"] == 40 * int(np.ceil(10 * np.log(10)))
    assert asked["lazy"] < asked["naive"] / 3
    assert asked["lazier_than_lazy"] < asked["stochastic"]


def test_samples_depend_on_the_key_and_on_ids_but_not_on_the_order_of_rows():
    covers, weight = large()
    ids, order = np.arange(400) + 7, np.random.default_rng(1).permutation(400)
    straight = maximise(Cover(covers, weight), np.arange(400), ids, 20, Seed(0).key(), "stochastic", 0.5)
    moved = maximise(Cover(covers[order], weight), np.arange(400), ids[order], 20, Seed(0).key(), "stochastic", 0.5)
    assert order[moved[0]].tolist() == straight[0].tolist()
    other = maximise(Cover(covers, weight), np.arange(400), ids, 20, Seed(1).key(), "stochastic", 0.5)
    assert other[0].tolist() != straight[0].tolist()


def test_rows_are_numbered_as_the_objective_has_them_and_places_come_back(monkeypatch):
    covers, weight = large()
    some = np.arange(100, 300)
    for at_once in (1, 64):
        monkeypatch.setattr(module, "AT_ONCE", at_once)
        places, gain = maximise(Cover(covers, weight), some, some, 30, Seed(0).key())
        picked, gains = naive(covers[some], weight, Seed(0).key().hash(some), 30)
        assert places.tolist() == picked
        assert gain.tolist() == gains


def test_C1_a_batch_is_complete_where_nothing_is_gained():
    nothing = Cover(np.zeros((9, 2), bool), np.ones(2))
    for method in ("naive", "lazy", "stochastic", "lazier_than_lazy"):
        rows, gain = maximise(nothing, np.arange(9), np.arange(9), 9, Seed(0).key(), method)
        assert sorted(rows) == list(range(9))
        assert gain.tolist() == [0] * 9
