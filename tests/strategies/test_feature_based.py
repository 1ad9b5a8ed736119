"""Feature-based selection."""

import numpy as np
import pytest

from querist.errors import DataError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.feature_based import FeatureBased
from querist.testing.contract import StrategyContract

G = {"sqrt": np.sqrt, "log": np.log1p, "inverse": lambda m: m / (1 + m), "linear": lambda m: m}


class TestFeatureBased(StrategyContract):
    make = FeatureBased
    deterministic = True
    cold = True


def pool(n=60, d=8, *, signed=False):
    x = np.random.default_rng(0).normal(size=(n, d))
    x = (x if signed else np.abs(x)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Evidence(np.arange(n), {Features(): x}, c=2), x.astype(float)


@pytest.mark.parametrize("concave", G)
@pytest.mark.parametrize("signed", [False, True])
def test_equals_naive_greedy_on_the_definition(concave, signed):
    ev, x = pool(signed=signed)
    parts = np.column_stack([np.maximum(x, 0), np.maximum(-x, 0)])
    picked = choose(FeatureBased(concave=concave), ev, 20, Seed(0).key())
    mass, left = np.zeros(16), list(range(60))
    for row, utility in zip(picked.ids.tolist(), picked.utility, strict=True):
        gain = (G[concave](mass + parts) - G[concave](mass)).sum(axis=1)
        assert row == max(left, key=lambda i: gain[i])
        assert utility == pytest.approx(gain[row], abs=1e-10)
        mass += parts[row]
        left.remove(row)


def test_a_linear_function_takes_the_largest_sums_of_rows():
    ev, x = pool()
    picked = choose(FeatureBased(concave="linear"), ev, 15, Seed(0).key())
    assert picked.ids.tolist() == np.argsort(-x.sum(axis=1))[:15].tolist()


def test_negative_features_are_refused_on_request_and_named():
    ev, x = pool(signed=True)
    first = int(np.flatnonzero((x < 0).any(axis=1))[0])
    with pytest.raises(DataError, match=f"expected features of 0 or more.* id {first}"):
        choose(FeatureBased(negative="error"), ev, 3, Seed(0).key())
    ev, _ = pool()
    one, other = (choose(FeatureBased(negative=n), ev, 9, Seed(0).key()) for n in ("error", "split"))
    assert one.ids.tolist() == other.ids.tolist()


@pytest.mark.parametrize(("preset", "concave"), [("paper", "sqrt"), ("log", "log"), ("inverse", "inverse")])
def test_C19_presets(preset, concave):
    assert strategies.build({"name": "feature_based", "preset": preset}) == FeatureBased(concave=concave)
