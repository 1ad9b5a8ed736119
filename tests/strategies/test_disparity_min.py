"""Minimum disparity."""

from itertools import combinations

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.disparity_min import DisparityMin
from querist.strategies.k_center_greedy import KCenterGreedy
from querist.testing.contract import StrategyContract


class TestDisparityMin(StrategyContract):
    make = DisparityMin
    deterministic = True
    cold = True


def pool(n, d=3):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Evidence(np.arange(n), {Features(): x, Features(frame="all"): x}, c=2), x.astype(float)


@pytest.mark.parametrize("start", ["mean", "random"])
def test_equals_k_center_greedy_from_the_same_start(start):
    ev, _ = pool(80)
    one = choose(DisparityMin(start=start), ev, 30, Seed(0).key())
    other = choose(KCenterGreedy(normalise=True, start=start), ev, 30, Seed(0).key())
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_allclose(one.utility, other.utility, rtol=1e-12)


def test_at_least_half_of_the_best_and_the_last_utility_is_the_disparity():
    ev, x = pool(12)
    gap = np.linalg.norm(x[:, None] - x, axis=2)
    for b in (2, 3, 5):
        picked = choose(DisparityMin(), ev, b, Seed(0).key())
        value = min(gap[i, j] for i, j in combinations(picked.ids.tolist(), 2))
        assert picked.utility[-1] == pytest.approx(value, abs=1e-6)
        assert value >= max(min(gap[i, j] for i, j in combinations(a, 2)) for a in combinations(range(12), b)) / 2


def test_what_is_labelled_has_no_part_in_it():
    _, x = pool(40)
    some = Evidence(np.arange(10, 40), {Features(): x[10:].astype(np.float32)}, labelled=np.arange(10), c=2)
    alone = Evidence(np.arange(10, 40), {Features(): x[10:].astype(np.float32)}, c=2)
    one, other = (choose(DisparityMin(), e, 9, Seed(0).key()) for e in (some, alone))
    assert one.ids.tolist() == other.ids.tolist()
