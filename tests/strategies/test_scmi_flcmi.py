"""FLCMI."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.scmi_flcmi import ScmiFlcmi
from querist.testing.contract import StrategyContract


class TestScmiFlcmi(StrategyContract):
    make = ScmiFlcmi


class TestFeatureScmiFlcmi(StrategyContract):
    make = staticmethod(lambda: ScmiFlcmi(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


def test_rows_nearer_to_the_private_set_count_for_nothing():
    ev, s = pool()
    picked = choose(ScmiFlcmi(space="features", query=(0,)), ev, 34, Seed(0).key())
    room = np.maximum(s[6:, [0, 3]].max(axis=1) - s[6:, [1, 2, 4, 5]].max(axis=1), 0)
    assert picked.utility.sum() == pytest.approx(room.sum(), abs=1e-5)
    assert (np.diff(picked.utility) <= 1e-12).all()
    nothing = choose(ScmiFlcmi(space="features", query=(0,), nu=100.0), ev, 5, Seed(0).key())
    assert nothing.utility.tolist() == [0] * 5
    assert "farthest" in nothing.reasons[0]


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "scmi_flcmi", "preset": preset}) == ScmiFlcmi()
