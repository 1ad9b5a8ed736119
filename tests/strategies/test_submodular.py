"""What strategies that maximise a set function share."""

from dataclasses import replace

import numpy as np
import pytest

from querist.errors import SpecError, UnknownNameError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Factors, Features, Gradients
from querist.seeds import Seed
from querist.strategies._submodular import directed
from querist.strategies.base import State, choose, strategies
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

SUBMODULAR = ["feature_based", "graph_cut", "log_det", "scg_gccg", "scg_logdetcg", "smi_com", "smi_flqmi"]


class TestStochasticGraphCut(StrategyContract):
    make = staticmethod(lambda: strategies.build({"name": "graph_cut", "maximiser": "stochastic", "epsilon": 0.5}))
    deterministic = False


class TestLazierThanLazyLogDet(StrategyContract):
    make = staticmethod(lambda: strategies.build({"name": "log_det", "maximiser": "lazier_than_lazy", "epsilon": 0.5}))
    deterministic = False


class TestGradientGraphCut(StrategyContract):
    make = staticmethod(lambda: strategies.build({"name": "graph_cut", "space": "gradients"}))


class TestGradientLogDet(StrategyContract):
    make = staticmethod(lambda: strategies.build({"name": "log_det", "space": "gradients", "gradient": "bias"}))


@pytest.mark.parametrize("name", SUBMODULAR)
def test_lazy_equals_naive_in_ids_and_gains(name):
    lazy = strategies.build(name)
    for kind in ("generic", "ties", "duplicates"):
        ev = fake_evidence(lazy, kind=kind)
        one, other = (choose(s, ev, 25, Seed(0).key()) for s in (lazy, replace(lazy, maximiser="naive")))
        assert one.ids.tolist() == other.ids.tolist()
        np.testing.assert_array_equal(one.utility, other.utility)


@pytest.mark.parametrize("name", [*SUBMODULAR, "smi_logdetmi", "scmi_logdetcmi", "disparity_sum"])
def test_random_samples_are_near_greedy_and_follow_the_key(name):
    built = strategies.build(name)
    sampled = replace(built, maximiser="stochastic", epsilon=0.3)
    ev = fake_evidence(built)
    whole = choose(built, ev, 8, Seed(0).key())
    runs = [choose(sampled, ev, 8, Seed(seed).key()) for seed in range(6)]
    assert len({tuple(run.ids) for run in runs}) > 1
    for run in runs:
        assert run.utility.sum() >= whole.utility.sum() - 0.4 * abs(whole.utility.sum())
    if name in SUBMODULAR:
        lazier = replace(built, maximiser="lazier_than_lazy", epsilon=0.3)
        assert choose(lazier, ev, 8, Seed(3).key()).ids.tolist() == runs[3].ids.tolist()


@pytest.mark.parametrize("method", ["lazy", "lazier_than_lazy"])
def test_lazy_is_refused_where_gains_may_rise(method):
    with pytest.raises(SpecError, match="disparity_sum is not submodular"):
        strategies.build({"name": "disparity_sum", "maximiser": method})
    with pytest.raises(UnknownNameError, match="maximiser"):
        strategies.build({"name": "disparity_min", "maximiser": method})


def test_gradients_are_those_of_the_candidates():
    strategy = strategies.build({"name": "graph_cut", "space": "gradients", "gradient": "bias_linear"})
    assert strategy.needs_at(State(n_labelled=5, has_model=True)) == (Gradients(),)
    rng = np.random.default_rng(0)
    residual, z = rng.normal(size=(20, 3)), rng.normal(size=(20, 4))
    g = np.einsum("nc,nd->ncd", residual, np.column_stack([z, np.ones(20)])).reshape(20, -1)
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    written = Evidence(np.arange(20), {Features(): g.astype(np.float32)}, c=3)
    factored = Evidence(np.arange(20), {Gradients(): Factors(residual, z)}, c=3)
    one = choose(strategy, factored, 9, Seed(0).key())
    other = choose(strategies.build("graph_cut"), written, 9, Seed(0).key())
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_allclose(one.utility, other.utility, atol=1e-5)


def test_rows_of_zeros_have_a_direction_of_their_own():
    x = np.array([[0.6, 0.8], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(directed(x), [[0.6, 0.8, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]], atol=1e-7)
    assert directed(x[[0, 2]]).shape == (2, 2)
