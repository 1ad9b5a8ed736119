"""Audit draws beside another strategy."""

import numpy as np
import pytest
from scipy.stats import chi2

from querist.errors import SpecError
from querist.seeds import Seed
from querist.strategies.badge import Badge
from querist.strategies.base import choose, strategies
from querist.strategies.class_uniform_oracle import ClassUniformOracle
from querist.strategies.composition import flags_of
from querist.strategies.epsilon_random import AUDIT, EpsilonRandom
from querist.strategies.margin import Margin
from querist.strategies.random import Random
from querist.strategies.stochastic import Stochastic
from querist.strategies.typiclust import TypiClust
from querist.strategies.uherding import UHerding
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestEpsilonRandom(StrategyContract):
    make = EpsilonRandom
    deterministic = False


class TestEpsilonRandomUherding(StrategyContract):
    make = staticmethod(lambda: EpsilonRandom(base=UHerding(), eps=0.5))
    deterministic = False


class TestEpsilonRandomTypiClust(StrategyContract):
    make = staticmethod(lambda: EpsilonRandom(base=TypiClust(), eps=0.3))
    deterministic = False


@pytest.mark.parametrize("base", [Margin(), UHerding(), TypiClust(), Badge(), Random(), Stochastic()])
def test_eps_0_is_the_base_and_eps_1_is_random(base):
    ev = fake_evidence(base)
    for eps, same in ((0.0, base), (1.0, Random())):
        one, other = (choose(s, ev, 13, Seed(0).key()) for s in (EpsilonRandom(base=base, eps=eps), same))
        assert one.ids.tolist() == other.ids.tolist()
        for name in ("utility", "propensity"):
            values = getattr(one, name), getattr(other, name)
            assert values[0] is values[1] is None or values[0] == pytest.approx(values[1])


@pytest.mark.parametrize(("eps", "b", "m"), [(0.1, 10, 1), (0.1, 4, 0), (0.1, 5, 1), (0.05, 60, 3), (0.5, 3, 2)])
def test_the_share_is_rounded_to_the_nearest_count(eps, b, m):
    picked = choose(EpsilonRandom(eps=eps), fake_evidence(Margin()), b, Seed(0).key())
    assert sum(reason == AUDIT for reason in picked.reasons) == m
    assert picked.reasons[m:] == tuple(Margin().reason(u) for u in picked.utility[m:])


def test_the_rest_is_what_the_base_picks_among_what_is_left():
    ev = fake_evidence(Margin())
    picked = choose(EpsilonRandom(eps=0.5), ev, 10, Seed(0).key())
    score = Margin().score(ev)
    left = ~np.isin(ev.candidates, picked.ids[:5])
    best = ev.candidates[left][np.argsort(-score[left])][:5]
    assert picked.ids[5:].tolist() == best.tolist()
    assert picked.utility.tolist() == [0.0] * 5 + sorted(score[left])[::-1][:5]


def test_propensities_are_those_of_the_actual_draws():
    ev, counts = fake_evidence(Margin(), n=12), np.zeros((12, 12))
    for seed in range(6600):
        picked = choose(EpsilonRandom(eps=0.5), ev, 4, Seed(seed).key())
        assert picked.propensity == pytest.approx([1 / 12, 1 / 11, 1, 1])
        first, second = np.searchsorted(ev.candidates, picked.ids[:2])
        counts[first, second] += 1
    expected = np.where(np.eye(12), 0, 6600 / 132)
    assert counts.trace() == 0
    assert ((counts - expected)[expected > 0] ** 2 / 50).sum() < chi2.isf(1e-6, 131)


def test_a_base_that_draws_states_its_own_propensities():
    ev = fake_evidence(Margin())
    picked = choose(EpsilonRandom(base=Stochastic(), eps=0.2), ev, 10, Seed(0).key())
    left = ev.cut(np.flatnonzero(~np.isin(ev.candidates, picked.ids[:2])))
    alone = choose(Stochastic(), left, 8, Seed(0).key())
    assert picked.ids[2:].tolist() == alone.ids.tolist()
    assert picked.propensity == pytest.approx([1 / 60, 1 / 59, *alone.propensity])


def test_weighting_by_inverse_propensity_makes_an_audit_unbiased():
    ev = fake_evidence(Margin(), n=20)
    risk = np.random.default_rng(0).random(20)
    estimates = []
    for seed in range(2000):
        picked = choose(EpsilonRandom(eps=0.5), ev, 4, Seed(seed).key())
        rows = np.searchsorted(ev.candidates, picked.ids[:2])
        # Each draw j estimates the sum over what was left by risk / propensity, plus what was drawn before.
        estimates.append(((risk[rows[0]] * 20) + (risk[rows[0]] + risk[rows[1]] / picked.propensity[1])) / 2 / 20)
    assert np.mean(estimates) == pytest.approx(risk.mean(), abs=5 * np.std(estimates) / 2000**0.5)


def test_flags_of_the_base_settings_and_mistakes():
    assert flags_of(EpsilonRandom(base=ClassUniformOracle())) == {"oracle"}
    assert strategies.build("epsilon_random(badge, eps=0.2)") == EpsilonRandom(base=Badge(), eps=0.2)
    assert strategies.build({"name": "epsilon_random", "preset": "light"}).eps == 0.05
    nested = choose(EpsilonRandom(base=EpsilonRandom(eps=0.5), eps=0.5), fake_evidence(Margin()), 8, Seed(0).key())
    assert [reason == AUDIT for reason in nested.reasons] == [True] * 6 + [False] * 2
    with pytest.raises(SpecError, match="one by one"):
        strategies.build("epsilon_random(galaxy)")
    for eps in (-0.1, 1.1, float("nan")):
        with pytest.raises(SpecError, match="eps"):
            EpsilonRandom(eps=eps)
