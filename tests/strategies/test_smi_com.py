"""COM: concave over modular."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Labels
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.smi_com import SmiCom
from querist.testing.contract import StrategyContract


class TestSmiCom(StrategyContract):
    make = SmiCom


class TestFeatureSmiCom(StrategyContract):
    make = staticmethod(lambda: SmiCom(space="features"))


def pool(n=40, d=4, labelled=6):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    taken, label = np.arange(labelled), np.arange(labelled) % 3
    values = {Features(frame="all"): x, Labels(): label}
    return Evidence(np.arange(labelled, n), values, labelled=taken, c=3), (1 + x.astype(float) @ x.T) / 2


def test_with_a_linear_function_it_is_graph_cut_information_up_to_a_factor():
    ev, _ = pool()
    com = choose(SmiCom(space="features", query=(2,), concave="linear"), ev, 9, Seed(0).key())
    cut = choose(strategies.build({"name": "smi_gcmi", "space": "features", "query": (2,)}), ev, 9, Seed(0).key())
    assert com.ids.tolist() == cut.ids.tolist()
    np.testing.assert_allclose(com.utility, cut.utility, atol=1e-5)


@pytest.mark.parametrize("concave", ["sqrt", "log", "inverse"])
def test_equals_naive_greedy_on_the_definition(concave):
    g = {"sqrt": np.sqrt, "log": np.log1p, "inverse": lambda m: m / (1 + m)}[concave]
    ev, s = pool()
    picked = choose(SmiCom(space="features", query=(0, 1), eta=0.5, concave=concave), ev, 12, Seed(0).key())
    s, mass, left = s[:, [0, 1, 3, 4]], np.zeros(4), list(range(6, 40))
    for row, utility in zip(picked.ids.tolist(), picked.utility, strict=True):
        gain = 0.5 * g(s.sum(axis=1)) + (g(mass + s) - g(mass)).sum(axis=1)
        assert utility == pytest.approx(gain[row], abs=1e-6)
        assert gain[row] >= max(gain[x] for x in left) - 1e-6
        mass += s[row]
        left.remove(row)


@pytest.mark.parametrize(("concave", "once", "twice"), [("sqrt", 1, np.sqrt(2)), ("log", np.log(2), np.log(3))])
def test_opposite_rows_have_nothing_in_common_however_products_are_rounded(concave, once, twice):
    rows = np.random.default_rng(0).normal(size=(40, 4))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    for row in rows:  # of some, the similarity to the opposite is below 0 in floating point
        x = np.stack([row, -row] * 3)
        ev = Evidence(
            np.arange(2, 6), {Features(frame="all"): x, Labels(): np.array([0, 0])}, labelled=np.arange(2), c=2
        )
        picked = choose(SmiCom(space="features", concave=concave), ev, 4, Seed(0).key())
        expected = [2 * once, 2 * once, twice, twice]
        np.testing.assert_allclose(picked.utility, expected, atol=1e-3)


def test_C19_presets_and_names():
    for preset in ("paper", "S4"):
        assert strategies.build({"name": "smi_com", "preset": preset}) == SmiCom()
