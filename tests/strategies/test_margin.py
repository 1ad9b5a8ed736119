"""Margin sampling."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.margin import Margin
from querist.testing.contract import StrategyContract


class TestMargin(StrategyContract):
    make = Margin


def test_equals_a_full_sort_and_says_how_close():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=40)
    picked = choose(Margin(), Evidence(np.arange(40), {Probs(): p}, c=5), 6, Seed(0).key())
    ordered = np.sort(p, axis=1)
    gap = ordered[:, -1] - ordered[:, -2]
    assert picked.ids.tolist() == gap.argsort()[:6].tolist()
    assert picked.utility == pytest.approx(-np.sort(gap)[:6])
    assert picked.reasons[0] == f"its two most likely classes are {gap.min():.3f} apart"


def test_a_row_that_is_torn_is_not_minus_zero_apart():
    assert Margin().reason(0.0) == "its two most likely classes are 0.000 apart"
