"""The best by a score, in equal shares from clusters."""

import numpy as np
import pytest

from querist.errors import DataError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features, Probs
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.cluster_balanced_random import ClusterBalancedRandom
from querist.strategies.cluster_balanced_top import ClusterBalancedTop
from querist.strategies.entropy import Entropy
from querist.strategies.margin import Margin
from querist.testing.contract import StrategyContract


class TestClusterBalancedTop(StrategyContract):
    make = ClusterBalancedTop
    cold = False


class TestClusterBalancedTopOfEntropy(StrategyContract):
    make = staticmethod(lambda: ClusterBalancedTop(base=Entropy(), order="ascending", clusters=5))
    cold = False


N = 60


def world(labelled=(2, 9), seed=0):
    rng = np.random.default_rng(seed)
    labelled = np.array(labelled, np.int64)
    ids = np.setdiff1d(np.arange(N), labelled)
    x, p = rng.normal(size=(N, 4)).astype(np.float32), rng.dirichlet(np.ones(4), N)
    return Evidence(ids, {Features(frame="all"): x, Probs(): p[ids]}, labelled=labelled, c=4)


@pytest.fixture
def stored(tmp_path):
    def store(**arrays):
        paths = {}
        for name, values in arrays.items():
            np.save(tmp_path / f"{name}.npy", values)
            paths[name] = str(tmp_path / f"{name}.npy")
        return paths

    return store


@pytest.mark.parametrize("base", [Margin(), Entropy()])
def test_one_cluster_is_the_plain_ranking(base):
    ev, key = world(), Seed(0).key()
    plain = choose(base, ev, 30, key)
    grouped = choose(ClusterBalancedTop(base=base, clusters=1), ev, 30, key)
    assert grouped.ids.tolist() == plain.ids.tolist()
    assert grouped.utility.tolist() == plain.utility.tolist()


def test_a_constant_score_is_cluster_balanced_random(stored):
    ev, key = world(), Seed(0).key()
    top = ClusterBalancedTop(clusters=3, **stored(scores=np.full(N, 2.5)))
    expected = choose(ClusterBalancedRandom(clusters=3), ev, 20, key).ids.tolist()
    assert choose(top, ev, 20, key).ids.tolist() == expected


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_C8_M22_the_extremes_of_every_stored_cluster_in_equal_shares(stored, order):
    score, group = np.random.default_rng(1).normal(size=N), np.array([5, -1, 88])[np.arange(N) % 3]
    strategy = ClusterBalancedTop(order=order, **stored(scores=score, groups=group))
    assert strategy.needs_at(State()) == ()
    ev = world()
    picked = choose(strategy, Evidence(ev.candidates, {}, labelled=ev.labelled, c=4), 9, Seed(0).key())
    sign = -1 if order == "descending" else 1
    for g in (5, -1, 88):
        members = [i for i in ev.candidates.tolist() if group[i] == g]
        expected = sorted(members, key=lambda i: sign * score[i])[:3]
        assert [i for i in picked.ids.tolist() if group[i] == g] == expected
    assert picked.utility.tolist() == score[picked.ids].tolist()
    assert "its score is among the" in picked.reasons[0]


def test_N2_a_stored_score_that_is_not_finite_is_refused(stored):
    score = np.zeros(N)
    score[7] = np.nan
    with pytest.raises(DataError, match="ids 7"):
        choose(ClusterBalancedTop(**stored(scores=score)), world(), 3, Seed(0).key())


def test_a_base_is_named_in_a_composition():
    built = strategies.build("cluster_balanced_top(base=entropy, order=ascending)")
    assert built == ClusterBalancedTop(base=Entropy(), order="ascending")
