"""Graph cut."""

from itertools import combinations

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.graph_cut import GraphCut
from querist.testing.contract import StrategyContract


class TestGraphCut(StrategyContract):
    make = GraphCut
    deterministic = True
    cold = True


def pool(n, d=4):
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Evidence(np.arange(n), {Features(): x}, c=2), (1 + x.astype(float) @ x.T) / 2


def value(s, a, redundancy):
    return s[:, a].sum() - redundancy * s[np.ix_(a, a)].sum()


@pytest.mark.parametrize("redundancy", [0.0, 0.5, 1.0, 8.0])
def test_gains_are_finite_differences_and_the_largest(redundancy):
    ev, s = pool(50)
    picked = choose(GraphCut(redundancy=redundancy), ev, 25, Seed(0).key())
    chosen = []
    for row, utility in zip(picked.ids.tolist(), picked.utility, strict=True):
        before = value(s, chosen, redundancy)
        gain = {x: value(s, [*chosen, x], redundancy) - before for x in range(50) if x not in chosen}
        assert utility == pytest.approx(gain[row], abs=1e-5)
        assert gain[row] >= max(gain.values()) - 1e-5
        chosen.append(row)


def test_without_redundancy_it_takes_the_largest_sums():
    ev, s = pool(40)
    picked = choose(GraphCut(redundancy=0.0), ev, 12, Seed(0).key())
    assert picked.ids.tolist() == np.argsort(-s.sum(axis=0))[:12].tolist()


def test_near_the_best_set_where_it_is_monotone():
    ev, s = pool(12)
    picked = choose(GraphCut(redundancy=0.5), ev, 4, Seed(0).key())
    best = max(value(s, list(a), 0.5) for a in combinations(range(12), 4))
    assert picked.utility.sum() >= (1 - 1 / np.e) * best


def test_much_redundancy_makes_gains_negative_and_the_batch_is_complete():
    ev, _ = pool(30)
    picked = choose(GraphCut(redundancy=9.0), ev, 30, Seed(0).key())
    assert picked.utility[-1] < 0
    assert sorted(picked.ids) == list(range(30))


def test_C18_settings_must_make_sense():
    with pytest.raises(SpecError, match="redundancy to be finite and 0 or larger"):
        GraphCut(redundancy=-0.1)
