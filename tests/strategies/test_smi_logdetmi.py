"""LogDetMI."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.smi_logdetmi import SmiLogdetmi
from querist.testing.contract import StrategyContract


class TestSmiLogdetmi(StrategyContract):
    make = SmiLogdetmi


class TestFeatureSmiLogdetmi(StrategyContract):
    make = staticmethod(lambda: SmiLogdetmi(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


def test_the_first_pick_is_what_the_query_explains_best():
    ev, s = pool()
    picked = choose(SmiLogdetmi(space="features", query=(0,), ridge=0.1), ev, 1, Seed(0).key())
    k, q = s + 0.1 * np.eye(40), [0, 3]
    left = 1.1 - np.einsum("xq,qr,xr->x", k[6:, q], np.linalg.inv(k[np.ix_(q, q)]), k[6:, q])
    assert picked.ids[0] == 6 + left.argmin()
    assert picked.utility[0] == pytest.approx(np.log(1.1 / left.min()), abs=1e-6)


def test_without_eta_the_query_says_nothing():
    ev, _ = pool()
    picked = choose(SmiLogdetmi(space="features", query=(0,), eta=0.0), ev, 5, Seed(0).key())
    np.testing.assert_allclose(picked.utility, 0, atol=1e-12)


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "smi_logdetmi", "preset": preset}) == SmiLogdetmi()
