"""Filtered active submodular selection."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Probs
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.composition import resolved
from querist.strategies.facility_location import FacilityLocation
from querist.strategies.fass import Fass
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

FUNCTIONS = ["feature_based", "graph_cut", "log_det", "disparity_min", "disparity_sum"]
SCORES = ["entropy", "margin", "least_confidence"]


class TestFass(StrategyContract):
    make = Fass
    deterministic = True


class TestFassOnMarginsWithLogDet(StrategyContract):
    make = staticmethod(lambda: Fass(uncertainty="margin", function="log_det", beta=2.0))


@pytest.mark.parametrize("uncertainty", SCORES)
def test_beta_1_takes_what_the_score_takes(uncertainty):
    strategy = Fass(beta=1.0, uncertainty=uncertainty)
    picked = choose(strategy, fake_evidence(strategy), 9, Seed(0).key())
    score = strategies.build(uncertainty)
    assert set(picked.ids) == set(choose(score, fake_evidence(score), 9, Seed(0).key()).ids)


@pytest.mark.parametrize("uncertainty", SCORES)
@pytest.mark.parametrize("function", ["facility_location", *FUNCTIONS])
def test_picks_are_among_the_most_uncertain_and_maximise_the_set_function_there(uncertainty, function):
    strategy = Fass(beta=2.5, uncertainty=uncertainty, function=function)
    ev = fake_evidence(strategy)
    picked = choose(strategy, ev, 7, Seed(0).key())
    score = strategies.build(uncertainty)
    passed = np.sort(choose(score, fake_evidence(score), 18, Seed(0).key()).ids)  # ceil(2.5 * 7)
    assert set(picked.ids) <= set(passed)
    x = ev[Features()][np.searchsorted(ev.candidates, passed)]
    alone = Evidence(passed, {Features(): x, Features(frame="all"): x}, c=ev.c)
    plain = choose(resolved(strategies.build(function), trains_backbone=False), alone, 7, Seed(0).key())
    np.testing.assert_allclose(picked.utility, plain.utility, atol=1e-5)
    assert picked.ids.tolist() == plain.ids.tolist()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_beta_that_lets_all_pass_is_the_set_function_alone(function):
    strategy = Fass(beta=100.0, function=function)
    plain = resolved(strategies.build(function), trains_backbone=False)
    one, other = (choose(s, fake_evidence(s), 12, Seed(0).key()) for s in (strategy, plain))
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_array_equal(one.utility, other.utility)


def test_a_beta_that_lets_all_pass_is_facility_location_where_nothing_is_labelled():
    ev = fake_evidence([Features(frame="all"), Features(), Probs()], labelled=0)
    one = choose(Fass(beta=100.0), ev, 12, Seed(0).key())
    other = choose(FacilityLocation(), ev, 12, Seed(0).key())
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_array_equal(one.utility, other.utility)


def test_C1_rows_that_add_nothing_complete_the_batch():
    x = np.eye(3, dtype=np.float32)[np.arange(9) % 3]
    ev = Evidence(np.arange(9), {Features(): x, Probs(): np.full((9, 2), 0.5)}, c=2)
    picked = choose(Fass(beta=100.0), ev, 5, Seed(0).key())
    assert len(set(picked.ids.tolist())) == 5
    assert set((picked.ids[:3] % 3).tolist()) == {0, 1, 2}
    np.testing.assert_allclose(picked.utility, [6.0, 1.5, 1.5, 0.0, 0.0])


def test_it_asks_for_probabilities_and_points():
    state = State(n_labelled=3, has_model=True)
    assert Fass().needs_at(state) == (Probs(), Features())
    assert Fass(space="embeddings").needs_at(state) == (Probs(), Embeddings())


def test_C18_C19_settings_and_presets():
    with pytest.raises(SpecError, match="beta to be finite and 1 or larger"):
        Fass(beta=0.5)
    assert strategies.build({"name": "fass", "preset": "S4"}) == Fass(space="embeddings")
