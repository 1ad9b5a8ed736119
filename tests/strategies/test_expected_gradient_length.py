"""Expected gradient length."""

import numpy as np
import pytest

from querist.evidence.needs import Gradients, Probs
from querist.seeds import Seed
from querist.strategies.badge import Badge
from querist.strategies.base import State, choose, strategies
from querist.strategies.expected_gradient_length import ExpectedGradientLength
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestExpected(StrategyContract):
    make = ExpectedGradientLength


class TestHypothesised(StrategyContract):
    def make(self):
        return ExpectedGradientLength(label="hypothesised", gradient="bias_linear")


class TestNormalised(StrategyContract):
    def make(self):
        return ExpectedGradientLength(normalise=True)


@pytest.mark.parametrize("gradient", ["linear", "bias_linear"])
def test_equals_explicit_gradients(gradient):
    strategy = ExpectedGradientLength(gradient=gradient)
    ev = fake_evidence(strategy, n=50)
    p, z = ev[Probs()], ev[Gradients()].embedding
    if gradient == "bias_linear":
        z = np.append(z, np.ones((50, 1)), axis=1)
    score = [sum(p[i, y] * np.linalg.norm(np.outer(p[i] - np.eye(4)[y], z[i])) for y in range(4)) for i in range(50)]
    picked = choose(strategy, ev, 50, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[np.argsort(-np.array(score))].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gradient", ["linear", "bias_linear"])
def test_the_best_hypothesised_row_is_the_first_of_badge(seed, gradient):
    strategy, badge = ExpectedGradientLength(label="hypothesised", gradient=gradient), Badge(gradient=gradient)
    ev = fake_evidence(strategy, seed=seed)
    one, other = (choose(rule, ev, 1, Seed(seed).key()) for rule in (strategy, badge))
    assert one.ids.tolist() == other.ids.tolist()
    assert one.utility == pytest.approx(other.utility)


def test_rows_of_length_one_do_not_change_by_normalising():
    ev = fake_evidence([Probs(), Gradients()])
    length = np.linalg.norm(ev[Gradients()].embedding, axis=1)
    plain, normal = ExpectedGradientLength().score(ev), ExpectedGradientLength(normalise=True).score(ev)
    assert plain == pytest.approx(normal * length)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_N1_certain_rows_have_no_gradient(dtype):
    ev = fake_evidence(ExpectedGradientLength(), kind="one_hot", dtype=dtype)
    certain = ev[Probs()].max(axis=1) == 1
    score = ExpectedGradientLength().score(ev)
    assert certain.any()
    assert not score[certain].any()
    assert np.isfinite(score).all()


def test_C18_needs_follow_the_settings():
    assert ExpectedGradientLength().needs_at(State()) == (Probs(), Gradients())
    assert ExpectedGradientLength(label="hypothesised").needs_at(State()) == (Gradients(),)
    assert ExpectedGradientLength(normalise=True).needs_at(State()) == (Probs(),)
    assert strategies.build({"name": "expected_gradient_length", "preset": "paper"}) == ExpectedGradientLength()
