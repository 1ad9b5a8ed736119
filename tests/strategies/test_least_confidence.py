"""Least-confidence sampling."""

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.least_confidence import LeastConfidence
from querist.testing.contract import StrategyContract


class TestLeastConfidence(StrategyContract):
    make = LeastConfidence


def test_order_is_that_of_the_largest_probability():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=40)
    picked = choose(LeastConfidence(), Evidence(np.arange(40), {Probs(): p}, c=5), 40, Seed(0).key())
    assert picked.ids.tolist() == p.max(axis=1).argsort().tolist()
    assert picked.reasons[0] == f"its most likely class has a probability of only {p.max(axis=1).min():.3f}"


def test_N6_saturated_rows_are_drawn_uniformly_over_seeds():
    p = np.tile([1.0, 0.0], (10, 1))
    ev = Evidence(np.arange(100, 110), {Probs(): p}, c=2)
    counts = np.zeros(10)
    for seed in range(400):
        counts[choose(LeastConfidence(), ev, 2, Seed(seed).key()).ids - 100] += 1
    assert ((counts - 80) ** 2 / 80).sum() < 46  # chi-square with 9 degrees of freedom, 1e-6


def test_aliases_of_older_systems():
    assert strategies.build("leastconf") == LeastConfidence()
