"""GCMI: a ranking by similarity to the query."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.smi_gcmi import SmiGcmi
from querist.testing.contract import StrategyContract


class TestSmiGcmi(StrategyContract):
    make = SmiGcmi


class TestFeatureSmiGcmi(StrategyContract):
    make = staticmethod(lambda: SmiGcmi(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


@pytest.mark.parametrize("redundancy", [0.5, 1.0])
def test_is_the_top_of_the_mean_similarity_to_the_query(redundancy):
    ev, s = pool()
    picked = choose(SmiGcmi(space="features", query=(2,), redundancy=redundancy), ev, 9, Seed(0).key())
    mean = s[6:, [2, 5]].mean(axis=1)
    assert picked.ids.tolist() == (6 + np.argsort(-mean)[:9]).tolist()
    np.testing.assert_allclose(picked.utility, 4 * redundancy * np.sort(mean)[::-1][:9], atol=1e-5)


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "smi_gcmi", "preset": preset}) == SmiGcmi()
