"""FLCG: coverage beyond the private set."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.scg_flcg import ScgFlcg
from querist.testing.contract import StrategyContract


class TestScgFlcg(StrategyContract):
    make = ScgFlcg


class TestFeatureScgFlcg(StrategyContract):
    make = staticmethod(lambda: ScgFlcg(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


def test_with_all_labels_private_it_is_facility_location_on_top_of_them():
    ev, _ = pool()
    one = choose(ScgFlcg(space="features"), ev, 20, Seed(0).key())
    other = choose(strategies.build("facility_location"), ev, 20, Seed(0).key())
    # Nearest neighbours of one another gain the same but for rounding, so ids may change places.
    np.testing.assert_allclose(one.utility, other.utility, atol=1e-5)
    assert one.ids[:4].tolist() == other.ids[:4].tolist()


def test_without_nu_the_private_set_counts_for_nothing():
    ev, s = pool()
    picked = choose(ScgFlcg(space="features", nu=0.0), ev, 3, Seed(0).key())
    assert picked.ids[0] == 6 + s[6:, 6:].sum(axis=0).argmax()
    assert picked.utility[0] == pytest.approx(s[6:, 6:].sum(axis=0).max(), abs=1e-5)


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "scg_flcg", "preset": preset}) == ScgFlcg()
