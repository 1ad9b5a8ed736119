"""FLVMI: facility location, as far as the query reaches."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.smi_flvmi import SmiFlvmi
from querist.testing.contract import StrategyContract


class TestSmiFlvmi(StrategyContract):
    make = SmiFlvmi


class TestFeatureSmiFlvmi(StrategyContract):
    make = staticmethod(lambda: SmiFlvmi(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


def test_a_loose_cap_is_facility_location_of_the_candidates():
    ev, s = pool()
    picked = choose(SmiFlvmi(space="features", query=(0,), eta=50.0), ev, 8, Seed(0).key())
    best = np.zeros(34)
    for row, utility in zip(picked.ids, picked.utility, strict=True):
        gain = np.maximum(s[6:] - best[:, None], 0).sum(axis=0)[6:]
        assert utility == pytest.approx(gain.max(), abs=1e-5)
        best = np.maximum(best, s[6:, row])


def test_no_more_is_gained_than_the_query_reaches():
    ev, s = pool()
    picked = choose(SmiFlvmi(space="features", query=(0,)), ev, 34, Seed(0).key())
    assert picked.utility.sum() == pytest.approx(s[6:, [0, 3]].max(axis=1).sum(), abs=1e-4)
    assert picked.utility[-1] == 0
    assert "farthest" in picked.reasons[-1]


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "smi_flvmi", "preset": preset}) == SmiFlvmi()
    assert strategies.build("fl1mi") == SmiFlvmi()
