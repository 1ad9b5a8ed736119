"""Random sampling."""

import numpy as np
import pytest
from scipy.stats import chi2

from querist.evidence.evidence import Evidence
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.random import Random, without_round
from querist.testing.contract import StrategyContract


class TestRandom(StrategyContract):
    make = Random
    deterministic = False


class TestNestedRandom(StrategyContract):
    make = staticmethod(lambda: Random(nested=True))
    deterministic = False


def pool(ids):
    return Evidence(np.asarray(ids), {}, c=2)


def key(entropy, round_):
    return Seed(entropy).child("digits", "pool", 3).child("round", round_, "select", "random").key()


def test_R3_every_row_is_drawn_equally_often():
    counts = np.zeros(12)
    for seed in range(2000):
        counts[choose(Random(), pool(range(12)), 3, Seed(seed).key()).ids] += 1
    # Draws without replacement vary less than the multinomial, by (n - b) / (n - 1).
    assert ((counts - 500) ** 2 / 500).sum() * 11 / 9 < chi2.isf(1e-6, 11)


def test_propensity_is_the_probability_of_each_draw_given_the_earlier_ones():
    picked = choose(Random(), pool(range(5)), 5, Seed(0).key())
    assert picked.propensity.tolist() == pytest.approx([1 / 5, 1 / 4, 1 / 3, 1 / 2, 1])


def test_smaller_batches_are_prefixes():
    whole = choose(Random(), pool(range(40)), 40, Seed(0).key()).ids.tolist()
    assert all(choose(Random(), pool(range(40)), b, Seed(0).key()).ids.tolist() == whole[:b] for b in range(1, 41))


def test_nested_rounds_are_one_order():
    whole = choose(Random(nested=True), pool(range(40)), 20, key(0, 0)).ids.tolist()
    left, bought = list(range(40)), []
    for round_ in range(4):
        bought += choose(Random(nested=True), pool(left), 5, key(0, round_)).ids.tolist()
        left = sorted(set(left) - set(bought))
    assert bought == whole
    fresh = choose(Random(), pool(range(40)), 20, key(0, 1)).ids.tolist()
    assert fresh != choose(Random(), pool(range(40)), 20, key(0, 0)).ids.tolist()
    assert whole != choose(Random(nested=True), pool(range(40)), 20, key(1, 0)).ids.tolist()


def test_key_without_a_round_is_left_alone():
    assert without_round(Seed(0).child("select", "random").key()) == Seed(0).child("select", "random").key()
    assert without_round(key(0, 7)) == Seed(0).child("digits", "pool", 3, "select", "random").key()


def test_a_dataset_may_be_called_round():
    named = Seed(0).child("round")
    assert without_round(named.child("round", 7, "select").key()) == named.child("select").key()
    assert without_round(named.child("initial").key()) == named.child("initial").key()


def test_says_so_and_answers_to_its_older_name():
    assert choose(strategies.build("uniform"), pool(range(3)), 1, Seed(0).key()).reasons == ("drawn at random",)
