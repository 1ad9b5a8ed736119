"""Mean standard deviation of draws."""

import numpy as np
import pytest

import querist
from querist.errors import SpecError
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.mean_std import MeanStd
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestMeanStd(StrategyContract):
    make = MeanStd


def test_scores_are_the_mean_standard_deviation_of_the_population():
    ev = fake_evidence(MeanStd(k=6))
    picked = choose(MeanStd(k=6), ev, 60, Seed(0).key())
    score = np.stack(ev[Draws(k=6)]).std(axis=0).mean(axis=1)
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], rel=1e-12)
    assert picked.reasons[0] == f"its class probabilities vary by {score.max():.3f} between draws of the model"


def test_C18_k_is_what_it_asks_for():
    assert MeanStd(k=7).needs_at(State()) == (Draws(k=7),)
    assert MeanStd().needs_at(State()) == (Draws(),)
    assert strategies.build({"name": "mean_std", "k": 3}) == MeanStd(k=3)


@pytest.mark.parametrize("k", [1, 0, -2])
def test_one_draw_has_no_spread(k):
    with pytest.raises(SpecError, match="k to be 2 or larger"):
        MeanStd(k=k)


def test_arrays_may_hold_any_number_of_draws():
    draws = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 30))
    picked = querist.select("mean_std", 30, draws=draws)
    assert picked.ids.tolist() == np.argsort(-draws.std(axis=0).mean(axis=1)).tolist()
