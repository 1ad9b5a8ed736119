"""GCCG: graph cut beyond the private set."""

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.scg_gccg import ScgGccg
from querist.testing.contract import StrategyContract


class TestScgGccg(StrategyContract):
    make = ScgGccg


class TestFeatureScgGccg(StrategyContract):
    make = staticmethod(lambda: ScgGccg(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


def test_a_duplicate_of_a_private_row_pays_for_it():
    ev, s = pool()
    plain, strict = (choose(ScgGccg(space="features", nu=nu), ev, 1, Seed(0).key()) for nu in (0.0, 100.0))
    worth = s[6:, 6:].sum(axis=0)
    assert plain.ids[0] == 6 + worth.argmax()
    assert strict.ids[0] == 6 + (worth - 200 * s[6:, :6].sum(axis=1)).argmax()


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "scg_gccg", "preset": preset}) == ScgGccg()
