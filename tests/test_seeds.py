"""Randomness by address: equal addresses agree, different ones share nothing, hashes are bijections."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from scipy import stats

from querist.seeds import Key, Seed, _mix
from querist.testing.spy import global_rng_untouched

ALPHA = 1e-6
STEPS = st.lists(st.one_of(st.integers(-5, 10**9), st.text(max_size=6)), max_size=4)
IDS = np.arange(4096)


def invert(words):
    """The inverse of SplitMix64's finaliser, from its published constants."""

    def unshift(y, shift):
        x = y.copy()
        for _ in range(64 // shift + 1):
            x = y ^ (x >> np.uint64(shift))
        return x

    words = unshift(words, 31) * np.uint64(pow(0x94D049BB133111EB, -1, 2**64))
    words = unshift(words, 27) * np.uint64(pow(0xBF58476D1CE4E5B9, -1, 2**64))
    return unshift(words, 30)


# -------------------------------------------------------------------------------------------------------------- seeds


@settings(deadline=None)
@given(STEPS, STEPS, st.integers(0, 2**70), st.integers(0, 2**70))
def test_seeds_are_equal_exactly_if_entropy_and_path_are(a, b, e, f):
    one, other = Seed(e).child(*a), Seed(f).child(*b)
    same = e == f and a == b
    assert (one == other) is same
    assert np.array_equal(one.words(8), other.words(8)) is same
    if same:
        assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("a", "b"), ("ab",)),
        (("1",), (1,)),
        (("a", ""), ("a",)),
        (("",), ()),
        (("a;str:1:b",), ("a", "b")),
        (("a", 1), ("a", 11)),
        ((1, 11), (11, 1)),
        (("é",), ("e",)),
        ((10,), (1, 0)),
        ((-1,), (1,)),
    ],
)
def test_addresses_are_not_confused(a, b):
    assert Seed(0).child(*a) != Seed(0).child(*b)
    assert not np.array_equal(Seed(0).child(*a).words(), Seed(0).child(*b).words())


def test_the_entropy_is_not_confused_with_the_path():
    assert not np.array_equal(Seed(1, (2,)).words(), Seed(12).words())
    assert not np.array_equal(Seed(1, (2,)).words(), Seed(2, (1,)).words())


@settings(deadline=None)
@given(STEPS)
def test_a_child_of_a_child_is_the_child_at_the_longer_address(steps):
    seed = Seed(7)
    for step in steps:
        seed = seed.child(step)
    assert seed == Seed(7).child(*steps)


def test_steps_count_by_value_whatever_their_type():
    plain = Seed(3).child("pool", 5, 1)
    for other in (
        Seed(np.int64(3)).child(np.str_("pool"), np.int32(5), np.uint8(1)),
        Seed(3).child("pool", 5, True),
        Seed(3, ("pool", np.int64(5), 1)),
    ):
        assert plain == other
        assert hash(plain) == hash(other)
        assert np.array_equal(plain.words(), other.words())


@pytest.mark.parametrize("step", [1.0, None, b"a", ("a",)])
def test_steps_of_other_types_are_refused(step):
    with pytest.raises(TypeError):
        Seed(0).child(step)
    with pytest.raises(TypeError):
        Seed(step)


def test_r7_a_member_does_not_depend_on_how_many_there_are():
    few, many = ([Seed(0).child("member", k).integer() for k in range(n)] for n in (3, 50))
    assert many[:3] == few
    assert len(set(many)) == 50


def test_r10_seeds_of_one_two_and_three_digits_share_nothing():
    words = np.concatenate([Seed(s).words(8) for s in (1, 10, 100)])
    assert len(np.unique(words)) == 24


def test_golden_words():
    # Stored results depend on these for ever.
    assert Seed(0).child("digits", "pool", 3).words(2).tolist() == [14900781860858652654, 1587699524848346745]
    assert Key(Seed(0)).hash(np.array([0, 1, 2**40])).tolist() == [
        13507714556540116044,
        12155592712959753311,
        1995289158898137900,
    ]


def test_words_and_integers():
    assert Seed(5).words().shape == (4,)
    assert np.array_equal(Seed(5).words(8)[:4], Seed(5).words())
    values = np.array([Seed(5).child(i).integer() for i in range(2000)])
    assert values.min() >= 0
    assert values.max() < 2**31
    assert stats.kstest(values / 2**31, "uniform").pvalue > ALPHA


def test_generators_start_afresh_and_differ_by_address():
    assert Seed(1).generator().random() == Seed(1).generator().random()
    draws = {Seed(1).child(i).generator().random() for i in range(100)}
    assert len(draws) == 100


def test_r1_nothing_touches_a_global_generator():
    with global_rng_untouched():
        key = Seed(0).child("x").key()
        key.hash(IDS), key.uniform(IDS), key.generator().random(), key.seed.integer()


def test_c11_the_same_in_a_fresh_interpreter():
    code = "from querist.seeds import Seed; print(*Seed(3).child('a', 1).words(8), Seed(3).generator().random())"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": h}, check=True, capture_output=True, text=True
        ).stdout
        for h in ("1", "2")
    }
    here = f"{' '.join(map(str, Seed(3).child('a', 1).words(8)))} {Seed(3).generator().random()}\n"
    assert said == {here}


# --------------------------------------------------------------------------------------------------------------- keys


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), STEPS)
def test_the_hash_is_a_bijection(values, steps):
    words = np.array(values, dtype=np.uint64)
    assert np.array_equal(invert(_mix(words)), words)
    key = Key(Seed(1).child(*steps))
    first, second = key.seed.words(2)
    assert np.array_equal(invert(invert(key.hash(words)) ^ second) - first, words)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True), st.randoms(use_true_random=False))
def test_n6_the_hash_depends_on_the_id_not_on_its_place(ids, rnd):
    ids = np.array(ids)
    order = list(range(len(ids)))
    rnd.shuffle(order)
    key = Key(Seed(4))
    assert np.array_equal(key.hash(ids[order]), key.hash(ids)[order])
    assert np.array_equal(key.uniform(ids[order]), key.uniform(ids)[order])
    assert len(np.unique(key.hash(ids))) == len(ids)
    for dtype in (np.int32, np.uint32, np.uint64):
        assert np.array_equal(key.hash(ids.astype(dtype)), key.hash(ids))


def test_flipping_one_bit_of_an_id_flips_half_of_its_hash():
    key = Key(Seed(2))
    ids = np.random.default_rng(0).integers(0, 2**40, 4000)
    for bit in range(40):
        flipped = np.bitwise_count(key.hash(ids) ^ key.hash(ids ^ (1 << bit)))
        mean = flipped.mean()
        assert abs(mean - 32) < 5 * 4 / np.sqrt(len(ids)), f"bit {bit}: {mean}"


def test_every_bit_of_the_hash_is_fair():
    words = Key(Seed(3)).hash(IDS)
    ones = np.array([((words >> np.uint64(bit)) & np.uint64(1)).sum() for bit in range(64)])
    statistic = ((ones - len(IDS) / 2) ** 2 / (len(IDS) / 4)).sum()
    assert statistic < stats.chi2.isf(ALPHA, 64)


@pytest.mark.parametrize("stride", [1, 2, 7, 64, 4096])
def test_uniform_is_uniform_on_consecutive_ids(stride):
    u = Key(Seed(9)).uniform(IDS * stride)
    counts = np.histogram(u, bins=64, range=(0, 1))[0]
    assert ((counts - 64.0) ** 2 / 64.0).sum() < stats.chi2.isf(ALPHA, 63)


def test_ids_next_to_each_other_and_keys_next_to_each_other_are_independent():
    cells = np.zeros((2, 8, 8))
    u = Key(Seed(1)).uniform(IDS)
    v = Key(Seed(1).child(1)).uniform(IDS)
    for cell, x, y in ((cells[0], u[:-1], u[1:]), (cells[1], u, v)):
        np.add.at(cell, ((x * 8).astype(int), (y * 8).astype(int)), 1)
        expected = cell.sum() / 64
        assert ((cell - expected) ** 2 / expected).sum() < stats.chi2.isf(ALPHA, 63)


def test_the_smallest_hash_is_a_fair_draw():
    ids = np.array([3, 17, 18, 400, 10**6])
    wins = np.bincount([Key(Seed(0).child("round", t)).hash(ids).argmin() for t in range(2000)], minlength=5)
    assert ((wins - 400.0) ** 2 / 400.0).sum() < stats.chi2.isf(ALPHA, 4)


class Extreme(Key):
    """A key whose hashes are given, to reach the ends of the range."""

    def hash(self, ids):
        return ids.astype(np.uint64)


def test_uniform_never_reaches_zero_or_one():
    ends = np.array([0, 1, 2**11, 2**12, 2**63, 2**64 - 2**12, 2**64 - 2, 2**64 - 1], dtype=np.uint64)
    u = Extreme(Seed(0)).uniform(ends)
    assert (u > 0).all()
    assert (u < 1).all()
    assert np.isfinite(-np.log(-np.log(u))).all()
    assert (np.diff(u) >= 0).all()


@settings(deadline=None)
@given(STEPS)
def test_key_children_are_seed_children(steps):
    assume(steps)
    key = Key(Seed(0))
    assert key.child(*steps).seed == Seed(0).child(*steps)
    assert Seed(0).child(*steps).key() == key.child(*steps)
    assert not np.array_equal(key.hash(IDS), key.child(*steps).hash(IDS))
    assert key.generator().random() == Seed(0).generator().random()
