"""LogDetCG: what the private set leaves unexplained."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.scg_logdetcg import ScgLogdetcg
from querist.testing.contract import StrategyContract


class TestScgLogdetcg(StrategyContract):
    make = ScgLogdetcg


class TestFeatureScgLogdetcg(StrategyContract):
    make = staticmethod(lambda: ScgLogdetcg(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


@pytest.mark.parametrize("ridge", [1.0, 1e-3])
def test_a_duplicate_of_a_private_row_gains_least(ridge):
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[11] = x[0]
    ev = Evidence(np.arange(3, 12), {Features(frame="all"): x}, labelled=np.arange(3), c=3)
    gain = {
        int(row): choose(
            ScgLogdetcg(space="features", ridge=ridge), ev.cut(np.array([row - 3])), 1, Seed(0).key()
        ).utility[0]
        for row in range(3, 12)
    }
    assert min(gain, key=lambda row: gain[row]) == 11
    assert choose(ScgLogdetcg(space="features", ridge=ridge), ev, 9, Seed(0).key()).ids[0] != 11


def test_goes_on_where_log_det_would():
    ev, s = pool()
    picked = choose(ScgLogdetcg(space="features", ridge=0.05), ev, 10, Seed(0).key())
    k, chosen = s + 0.05 * np.eye(40), list(range(6))
    for row, utility in zip(picked.ids.tolist(), picked.utility, strict=True):
        more = [*chosen, row]
        expected = np.linalg.slogdet(k[np.ix_(more, more)])[1] - np.linalg.slogdet(k[np.ix_(chosen, chosen)])[1]
        assert utility == pytest.approx(expected, abs=1e-5)
        chosen = more


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "scg_logdetcg", "preset": preset}) == ScgLogdetcg()
