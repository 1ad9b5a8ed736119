"""Margin of the mean of the draws."""

import numpy as np
import pytest

import querist
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.mc_margin import McMargin
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestMcMargin(StrategyContract):
    make = McMargin


def test_is_the_margin_of_the_mean():
    ev = fake_evidence(McMargin())
    ordered = np.sort(np.mean(np.stack(ev[Draws(k=10)]), axis=0), axis=1)
    score = ordered[:, -2] - ordered[:, -1]
    picked = choose(McMargin(), ev, 60, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], abs=1e-14)
    assert f"{-score.max():.3f}" in picked.reasons[0]


def test_probabilities_are_averaged_and_not_logits():
    one, other = np.array([[0.999, 0.001], [0.3, 0.7]]), np.array([[0.6, 0.4], [0.6, 0.4]])
    picked = querist.select("mc_margin", 2, draws=np.stack([one, other], axis=1))
    assert picked.ids.tolist() == [1, 0]
    assert picked.utility == pytest.approx([-0.2, -0.299])


def test_draws_that_are_the_same_give_the_plain_score_to_the_bit():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=40)
    many = querist.select("mc_margin", 40, draws=np.stack([p] * 7))
    one = querist.select("margin", 40, probs=p)
    assert many.ids.tolist() == one.ids.tolist()
    assert many.utility.tolist() == one.utility.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_certain_rows_come_last(dtype):
    p = np.array([[[1, 0, 0], [0.5, 0.5, 0]], [[1, 0, 0], [0.25, 0.75, 0]]], dtype)
    picked = choose(McMargin(), Evidence(np.arange(2), {Draws(k=10): list(p)}, c=3), 2, Seed(0).key())
    assert picked.ids.tolist() == [1, 0]
    assert picked.utility.tolist() == [-0.25, -1.0]


def test_C17_C19_presets_and_settings():
    assert strategies.build({"name": "mc_margin", "preset": "S4"}) == McMargin(k=10)
    assert McMargin(k=9).needs_at(State()) == (Draws(k=9),)


def test_a_row_that_is_torn_is_not_minus_zero_apart():
    assert McMargin().reason(0.0) == "on the average of the draws its two most likely classes are 0.000 apart"
