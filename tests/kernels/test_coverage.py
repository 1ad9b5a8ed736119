"""Greedy coverage against brute force, step by step, in picks and in gains."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.kernels import coverage as module
from querist.kernels.coverage import closeness, cosine, gaussian, greedy_cover, top_hat
from querist.kernels.workers import workers
from querist.progress import listening
from querist.seeds import Seed

KERNELS = {
    "cosine": (cosine(), lambda gap: np.maximum(1 - gap / 4, 0)),
    "gaussian": (gaussian(1.5), lambda gap: np.exp(-gap / 2.25)),
    "narrow": (gaussian(0.1), lambda gap: np.exp(-gap / 0.01)),
    "top_hat": (top_hat(1.5), lambda gap: (gap < 2.25).astype(float)),
    "closeness": (closeness(16.0), lambda gap: np.maximum(1 - np.sqrt(gap) / 16, 0)),
}


def likeness(x, name):
    x = x.astype(float)
    return KERNELS[name][1](np.square(x[:, None] - x[None]).sum(axis=2))


def added(like, weight, covered):
    return (weight[:, None] * np.maximum(like - covered[:, None], 0)).sum(axis=0)


def follow(like, weight, centres, open_, tie, rows, gains):
    """Walk along picks; at each step they must be the best there is, and of several the smallest hash.

    Similarities are rounded to 2^-39 of the largest weight, so that much per row is free.
    """
    covered, open_ = like[:, centres].max(axis=1, initial=0), open_.copy()
    slack = len(like) * 2.0**-39 * weight.max(initial=1e-300)
    for row, gain in zip(rows, gains, strict=True):
        now = added(like, weight, covered)
        assert gain == pytest.approx(now[row], rel=1e-9, abs=slack)
        assert now[row] >= now[open_].max() - slack
        tied = np.flatnonzero(open_ & (np.abs(now - now[row]) <= 1e-14 * now[row]))
        assert row == tied[tie[tied].argmin()]
        covered, open_[row] = np.maximum(covered, like[:, row]), False
    return added(like, weight, covered), open_, slack


@st.composite
def worlds(draw):
    """Points on a small grid: exact in float32, full of ties and duplicates; zero rows, d = 1 and zero weights."""
    n, d = draw(st.integers(1, 14)), draw(st.integers(1, 5))
    x = np.array(draw(st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), min_size=n, max_size=n)))
    centres = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    weight = np.array(draw(st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=n, max_size=n)))
    open_ = np.ones(n, bool)
    open_[centres] = False
    tie = Seed(draw(st.integers(0, 9))).key().hash(np.arange(n))
    return x.astype(np.float32), np.array(centres, np.intp), open_, tie, weight


@pytest.mark.parametrize("name", KERNELS)
@given(world=worlds(), data=st.data())
def test_equals_naive_greedy_in_picks_and_gains(name, world, data):
    x, centres, open_, tie, weight = world
    b = data.draw(st.integers(0, len(x)))
    rows, gains = greedy_cover(x, KERNELS[name][0], centres, open_, tie, b, weight)
    left, still_open, slack = follow(likeness(x, name), weight, centres, open_, tie, rows, gains)
    assert open_[rows].all()
    assert len(set(rows.tolist())) == len(rows)
    if len(rows) < b:
        assert (left[still_open] <= slack).all(), "it stopped although something could still be gained"


@pytest.mark.parametrize("name", KERNELS)
@given(world=worlds(), data=st.data())
@settings(max_examples=30)
def test_adds_at_least_1_minus_1_over_e_of_the_best_set(name, world, data):
    x, centres, open_, tie, weight = world
    like, candidates = likeness(x, name), np.flatnonzero(open_)
    b = data.draw(st.integers(0, min(3, len(candidates))))
    before = like[:, centres].max(axis=1, initial=0)

    def value(some):
        return float(weight @ (np.maximum(before, like[:, list(some)].max(axis=1, initial=0)) - before))

    rows, gains = greedy_cover(x, KERNELS[name][0], centres, open_, tie, b, weight)
    assert gains.sum() == pytest.approx(value(rows), rel=1e-9, abs=1e-9)
    assert value(rows) >= (1 - 1 / np.e) * max(value(some) for some in combinations(candidates, b)) - 1e-9


def clouds(n, d=8, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, d))[rng.integers(12, size=n)] + 0.5 * rng.normal(size=(n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[n // 2 : n // 2 + n // 10] = x[: n // 10]
    return x.astype(dtype)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("n", "dtype"), [(64, np.float32), (193, np.float64), (330, np.float32)])
@pytest.mark.parametrize("labelled", [0, 30])
def test_M11_equals_naive_greedy_on_clouds_to_the_end(name, n, dtype, labelled):
    x, tie = clouds(n, dtype=dtype), Seed(1).key().hash(np.arange(n))
    centres, open_ = np.arange(labelled) * 2, np.ones(n, bool)
    open_[centres] = False
    rows, gains = greedy_cover(x, KERNELS[name][0], centres, open_, tie, n)
    left, still_open, slack = follow(likeness(x, name), np.ones(n), centres, open_, tie, rows, gains)
    assert (left[still_open] <= slack).all()
    assert (np.diff(gains) <= 0).all()


@pytest.fixture
def picks():
    """Picks and gains of a selection that is long enough for lists of what still covers a row better."""
    x, n = clouds(2000), 2000
    tie, open_ = Seed(2).key().hash(np.arange(n)), np.arange(n) >= 20
    weight = np.random.default_rng(0).random(n)

    def run():
        rows, gains = greedy_cover(x, gaussian(0.7), np.arange(20), open_, tie, 400, weight)
        return rows.tolist(), gains.tolist()

    return run


def test_U2_U4_neither_threads_nor_blocks_nor_lists_change_a_bit(picks, monkeypatch):
    straight = picks()
    used = []
    keep = module._Lists.keep

    def counted(lists, rows, length, *scratch):
        used.append(int((length[: len(rows)] >= 0).sum()))
        keep(lists, rows, length, *scratch)

    monkeypatch.setattr(module._Lists, "keep", counted)
    for threads in (1, 2, 8):
        with workers(threads):
            assert picks() == straight
    assert sum(used) > 3000, "most rows should have got a list in each of the three runs"
    monkeypatch.setattr(module, "STRETCH", 1)
    monkeypatch.setattr(module, "SHARE", module.pairs.LANES)
    for threads in (1, 3):
        with workers(threads):
            assert picks() == straight
    for listed in (2**9, 2**14):
        monkeypatch.setattr(module, "LISTED", listed)
        assert picks() == straight


def test_C2_duplicates_of_what_covers_add_exactly_nothing():
    x = np.repeat(np.random.default_rng(0).normal(size=(3, 6)), 20, axis=0).astype(np.float32)
    tie, open_ = Seed(0).key().hash(np.arange(60)), np.arange(60) > 0
    for similarity, _ in KERNELS.values():
        rows, gains = greedy_cover(x, similarity, np.array([0]), open_, tie, 50)
        assert sorted(rows // 20) == [1, 2]
        assert (gains > 0).all()


@given(worlds())
@settings(max_examples=20)
def test_U8_inputs_stay(world):
    before = [a.copy() for a in world]
    for array in world:
        array.flags.writeable = False
    x, centres, open_, tie, weight = world
    greedy_cover(x, cosine(), centres, open_, tie, len(x), weight)
    assert all(np.array_equal(a, b) for a, b in zip(before, world, strict=True))


def test_weights_that_are_tiny_huge_or_all_zero():
    x, tie, open_ = clouds(100), Seed(0).key().hash(np.arange(100)), np.ones(100, bool)
    weight = np.random.default_rng(1).random(100)
    rows, gains = greedy_cover(x, gaussian(0.5), np.empty(0, np.intp), open_, tie, 20, weight)
    for factor in (2.0**-200, 2.0**200):
        scaled, gain = greedy_cover(x, gaussian(0.5), np.empty(0, np.intp), open_, tie, 20, weight * factor)
        assert scaled.tolist() == rows.tolist()
        np.testing.assert_array_equal(gain, gains * factor)
    rows, gains = greedy_cover(x, cosine(), np.empty(0, np.intp), open_, tie, 20, np.zeros(100))
    assert len(rows) == len(gains) == 0


def test_progress_counts_rows_compared_and_picks(monkeypatch):
    monkeypatch.setattr(module, "STRETCH", 1)
    x, heard = np.random.default_rng(0).normal(size=(150, 2)), []
    with listening(lambda *news: heard.append(news)):
        greedy_cover(x, cosine(), np.empty(0, np.intp), np.ones(150, bool), Seed(0).key().hash(np.arange(150)), 3)
    assert heard[:3] == [("comparing rows", done, 150) for done in (64, 128, 150)]
    assert [news for news in heard if news[0] == "picking"] == [("picking", done, 3) for done in (1, 2, 3)]


def test_gains_summed_afresh_are_those_that_were_kept_up_to_date(monkeypatch):
    rng = np.random.default_rng(0)
    x, weight, tie = rng.normal(size=(200, 3)), rng.random(200), Seed(0).key().hash(np.arange(200))
    outcomes = []
    for share in (0.0, 0.3, 2.0):
        monkeypatch.setattr(module, "AFRESH", share)
        cover = module.Coverage(x, module.gaussian(1.0), np.array([3]), weight)
        rows, gains = cover.greedy(np.ones(200, bool), tie, 20)
        outcomes.append((rows.tolist(), gains.tolist(), cover.gain_N.tolist(), cover.best_N.tolist()))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("sampled", "tried"), [(1, 64), (4, 64), (32, 1)])
def test_guesses_right_or_wrong_change_nothing(name, sampled, tried, monkeypatch):
    x, n = clouds(600), 600
    tie, open_ = Seed(3).key().hash(np.arange(n)), np.arange(n) >= 3
    weight = np.where(np.arange(n) % 7 == 0, 0.0, np.random.default_rng(4).random(n))
    plain = module.Coverage(x, KERNELS[name][0], np.arange(3), weight)
    rows, gains = plain.greedy(open_, tie, 12)
    for attribute, value in (("FEW", 0), ("RAISING", 0.0), ("SAMPLED", sampled), ("TRIED", tried)):
        monkeypatch.setattr(module, attribute, value)
    ahead = module.Coverage(x, KERNELS[name][0], np.arange(3), weight)
    guess, _ = ahead._guess(open_, tie, 12)
    assert len(guess) == module.DEEPEST
    if sampled == 1:
        assert guess[: len(rows)] == rows[: len(guess)].tolist()
    again, same = ahead.greedy(open_, tie, 12)
    assert again.tolist() == rows.tolist()
    assert same.tolist() == gains.tolist()
    assert ahead.gain_N.tolist() == plain.gain_N.tolist()
    assert ahead.most == plain.most
