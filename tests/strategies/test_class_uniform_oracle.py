"""Class-balanced sampling by the true labels."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Sealed
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.class_uniform_oracle import ClassUniformOracle
from querist.strategies.random import without_round
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestClassUniformOracle(StrategyContract):
    make = ClassUniformOracle
    deterministic = False


class TestFloorQuota(StrategyContract):
    make = staticmethod(lambda: strategies.build({"name": "class_uniform_oracle", "preset": "S0"}))
    deterministic = False

    def evidence(self, strategy, **settings):
        return fake_evidence(strategy, **{"c": 2, **settings})  # with more classes than picks, no floor is left


def pool(labels, c, ids=None, labelled=None):
    ids = np.arange(len(labels)) if ids is None else ids
    return Evidence(ids, {Sealed(): np.asarray(labels)}, labelled=labelled, c=c)


def key(round_=0, entropy=0):
    return Seed(entropy).child("round", round_, "select", "class_uniform_oracle").key()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 9), st.data())
def test_C8_counts_differ_by_one_while_supply_lasts(labels, seed, data):
    labels = np.array(labels)
    b = data.draw(st.integers(1, len(labels)))
    ids = choose(ClassUniformOracle(), pool(labels, 5), b, key(entropy=seed)).ids
    counts, supply = np.bincount(labels[ids], minlength=5), np.bincount(labels, minlength=5)
    assert counts.sum() == b
    assert all(counts[a] <= counts[z] + 1 for a in range(5) for z in range(5) if counts[z] < supply[z])


def test_long_tail_with_an_empty_class_still_returns_b_distinct_ids():
    labels = np.repeat([0, 1, 3], [50, 2, 1])
    ids = choose(ClassUniformOracle(), pool(labels, 4), 20, key()).ids
    assert len(set(ids.tolist())) == 20
    assert np.bincount(labels[ids]).tolist() == [17, 2, 0, 1]


def test_C9_batches_of_several_rounds_add_up_to_one_large_batch():
    labels = np.arange(60) % 6
    whole = choose(ClassUniformOracle(), pool(labels, 6), 20, key()).ids.tolist()
    bought: list[int] = []
    for round_, b in enumerate((4, 9, 7)):
        left = np.setdiff1d(np.arange(60), bought)
        ev = pool(labels[left], 6, ids=left, labelled=np.array(sorted(bought), np.int64))
        bought += choose(ClassUniformOracle(), ev, b, key(round_)).ids.tolist()
    assert bought == whole
    assert np.bincount(labels[bought]).max() - np.bincount(labels[bought]).min() == 1


def test_no_class_is_preferred_over_seeds():
    labels = np.arange(10) % 5
    counts = np.zeros(5)
    for seed in range(500):
        counts[labels[choose(ClassUniformOracle(), pool(labels, 5), 1, key(entropy=seed)).ids]] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 33.4  # chi-square with 4 degrees of freedom, 1e-6


@pytest.mark.parametrize("b", [3, 13, 25])
def test_floor_quota_takes_as_many_of_each_class_and_completes_at_random(b):
    labels = np.repeat(np.arange(5), [1, 20, 20, 20, 20])
    floor = strategies.build({"name": "class_uniform_oracle", "preset": "S0"})
    ids = choose(floor, pool(labels, 5), b, key()).ids
    assert len(set(ids.tolist())) == b
    sure = labels[ids][: sum(min(b // 5, n) for n in (1, 20, 20, 20, 20))]
    assert np.bincount(sure, minlength=5).tolist() == [min(b // 5, n) for n in (1, 20, 20, 20, 20)]
    left = np.setdiff1d(np.arange(81), ids[: len(sure)])
    smallest = without_round(key()).hash(left).argsort()
    assert ids[len(sure) :].tolist() == left[smallest][: b - len(sure)].tolist()


def test_L6_carries_the_oracle_flag():
    assert strategies.card("class_uniform_oracle").flags == {"oracle"}
