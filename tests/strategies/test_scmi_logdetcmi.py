"""LogDetCMI."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.scmi_logdetcmi import ScmiLogdetcmi
from querist.testing.contract import StrategyContract


class TestScmiLogdetcmi(StrategyContract):
    make = ScmiLogdetcmi


class TestFeatureScmiLogdetcmi(StrategyContract):
    make = staticmethod(lambda: ScmiLogdetcmi(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


@pytest.mark.parametrize("ridge", [1.0, 0.05])
def test_the_utility_adds_up_to_the_identity_of_four_determinants(ridge):
    ev, s = pool()
    picked = choose(ScmiLogdetcmi(space="features", query=(0,), ridge=ridge), ev, 8, Seed(0).key())
    k, q, p, a = s + ridge * np.eye(40), [0, 3], [1, 2, 4, 5], picked.ids.tolist()

    def f(rows):
        return np.linalg.slogdet(k[np.ix_(rows, rows)])[1]

    assert picked.utility.sum() == pytest.approx(f(a + p) + f(q + p) - f(a + q + p) - f(p), abs=1e-5)


def test_reference_form_of_the_measure():
    ev, s = pool()
    picked = choose(ScmiLogdetcmi(space="features", query=(0,)), ev, 5, Seed(0).key())
    k, q, p, a = s + np.eye(40), [0, 3], [1, 2, 4, 5], picked.ids.tolist()

    def left(rows):
        explained = k[np.ix_(rows, q)] @ np.linalg.inv(k[np.ix_(q, q)]) @ k[np.ix_(q, rows)]
        return np.linalg.slogdet(np.eye(len(rows)) - np.linalg.inv(k[np.ix_(rows, rows)]) @ explained)[1]

    assert picked.utility.sum() == pytest.approx(left(p) - left(a + p), abs=1e-6)


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "scmi_logdetcmi", "preset": preset}) == ScmiLogdetcmi()
