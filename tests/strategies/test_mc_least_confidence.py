"""Least confidence of the mean of the draws."""

import numpy as np
import pytest

import querist
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.mc_least_confidence import McLeastConfidence
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestMcLeastConfidence(StrategyContract):
    make = McLeastConfidence


def test_is_one_minus_the_largest_mean_probability():
    ev = fake_evidence(McLeastConfidence())
    score = 1 - np.mean(np.stack(ev[Draws(k=10)]), axis=0).max(axis=1)
    picked = choose(McLeastConfidence(), ev, 60, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], abs=1e-14)
    assert f"{1 - score.max():.3f}" in picked.reasons[0]


def test_probabilities_are_averaged_and_not_logits():
    """Logits of sure and unsure draws average to a sure prediction; probabilities do not."""
    torn = np.array([[0.5, 0.5], [0.999, 0.001]])
    even = np.array([[0.8, 0.2], [0.8, 0.2]])
    picked = querist.select("mc_least_confidence", 2, draws=np.stack([torn, even], axis=1))
    assert picked.ids.tolist() == [0, 1]
    assert picked.utility == pytest.approx([1 - 0.7495, 0.2])


def test_draws_that_are_the_same_give_the_plain_score_to_the_bit():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=40)
    many = querist.select("mc_least_confidence", 40, draws=np.stack([p] * 7))
    one = querist.select("least_confidence", 40, probs=p)
    assert many.ids.tolist() == one.ids.tolist()
    assert many.utility.tolist() == one.utility.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_certain_rows_come_last(dtype):
    p = np.array([[[1, 0, 0], [0.5, 0.5, 0]], [[1, 0, 0], [0.25, 0.75, 0]]], dtype)
    picked = choose(McLeastConfidence(), Evidence(np.arange(2), {Draws(k=10): list(p)}, c=3), 2, Seed(0).key())
    assert picked.ids.tolist() == [1, 0]
    assert picked.utility.tolist() == [0.375, 0.0]


def test_C17_C19_presets_and_settings():
    assert strategies.build({"name": "mc_least_confidence", "preset": "S4"}) == McLeastConfidence(k=10)
    assert McLeastConfidence(k=9).needs_at(State()) == (Draws(k=9),)
