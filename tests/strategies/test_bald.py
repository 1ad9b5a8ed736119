"""BALD."""

import numpy as np
import pytest
from scipy.special import xlogy
from scipy.stats import chi2

import querist
from querist.errors import UnmetNeedError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.bald import Bald
from querist.strategies.base import State, choose, strategies
from querist.strategies.stochastic import Stochastic
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestBald(StrategyContract):
    make = Bald


def entropy(p):
    return -xlogy(p, p).sum(axis=-1)


def test_is_the_mutual_information():
    ev = fake_evidence(Bald(k=6))
    p = np.stack(ev[Draws(k=6)])
    score = entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)
    picked = choose(Bald(k=6), ev, 60, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], rel=1e-11)
    assert picked.reasons[0] == f"its label would tell {score.max():.3f} nats about which draw of the model is right"


def test_wants_disagreement_and_not_doubt():
    doubt, disagreement = [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
    picked = querist.select("bald", 2, draws=np.stack([doubt, disagreement], axis=1))
    assert picked.ids.tolist() == [1, 0]
    assert picked.utility.tolist() == [pytest.approx(np.log(2)), 0]
    both = querist.select("mc_entropy", 2, draws=np.stack([doubt, disagreement], axis=1))
    assert both.utility == pytest.approx([np.log(2)] * 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_certain_rows_come_last(dtype):
    p = np.array([[[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]], [[1, 0, 0], [0, 0, 1], [0.25, 0.75, 0]]], dtype)
    picked = choose(Bald(), Evidence(np.arange(3), {Draws(k=25): list(p)}, c=3), 3, Seed(0).key())
    assert picked.ids.tolist() == [1, 2, 0]
    assert picked.utility[2] == 0
    assert picked.utility[0] == pytest.approx(np.log(2))


def test_N4_with_members_that_are_the_same_power_sampling_is_uniform():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=8)
    ev = Evidence(np.arange(8), {Draws(k=25): [p] * 5}, c=5)
    assert Bald().score(ev).tolist() == [0] * 8
    counts = np.zeros(8)
    for seed in range(1600):
        picked = choose(Stochastic(base=Bald()), ev, 1, Seed(seed).key())
        counts[picked.ids] += 1
        assert picked.propensity[0] == pytest.approx(1 / 8)
    assert ((counts - 200) ** 2 / 200).sum() < chi2.isf(1e-6, 7)


def test_C19_presets_and_C18_settings():
    for preset, k in (("S2", 25), ("S3", 25), ("S4", 10)):
        assert strategies.build({"name": "bald", "preset": preset}) == Bald(k=k)
    assert Bald(k=9).needs_at(State()) == (Draws(k=9),)


def test_labelled_rows_of_arrays_are_left_out():
    draws = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 30))
    best = querist.select("bald", 5, draws=draws).ids
    rest = querist.select("bald", 5, draws=draws, labelled=best, labels=np.zeros(5, int))
    assert rest.ids.tolist() == querist.select("bald", 10, draws=draws).ids[5:].tolist()


def test_without_draws_the_error_says_what_to_pass():
    with pytest.raises(UnmetNeedError, match=r"draws=\(k, N, c\)"):
        querist.select("bald", 1, probs=np.full((4, 2), 0.5))
