"""FLQMI: facility location between picks and query."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.smi_flqmi import SmiFlqmi
from querist.testing.contract import StrategyContract


class TestSmiFlqmi(StrategyContract):
    make = SmiFlqmi


class TestFeatureSmiFlqmi(StrategyContract):
    make = staticmethod(lambda: SmiFlqmi(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


def test_a_large_eta_takes_first_what_is_most_like_the_query():
    ev, s = pool()
    picked = choose(SmiFlqmi(space="features", query=(1,), eta=1e6), ev, 5, Seed(0).key())
    nearest = s[6:, [1, 4]].max(axis=1)
    assert picked.ids.tolist() == (6 + np.argsort(-nearest)[:5]).tolist()


def test_without_eta_it_covers_the_query_and_nothing_else():
    ev, s = pool()
    picked = choose(SmiFlqmi(space="features", query=(1,), eta=0.0), ev, 20, Seed(0).key())
    assert picked.utility.sum() == pytest.approx(s[6:, [1, 4]].max(axis=0).sum(), abs=1e-5)
    assert picked.utility[2:].tolist() == [0] * 18  # two query rows take two picks at most


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "smi_flqmi", "preset": preset}) == SmiFlqmi()
    assert strategies.build("fl2mi") == SmiFlqmi()
