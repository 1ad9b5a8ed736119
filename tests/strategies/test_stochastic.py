"""The stochastic wrapper."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import chi2

from querist.errors import ScoreError, SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import PretrainTrace, Probs
from querist.seeds import Seed
from querist.strategies.base import Scoring, State, choose, strategies
from querist.strategies.entropy import Entropy
from querist.strategies.least_confidence import LeastConfidence
from querist.strategies.margin import Margin
from querist.strategies.stochastic import Stochastic
from querist.strategies.vae_loss import VaeLoss
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestStochastic(StrategyContract):
    make = Stochastic
    deterministic = False


class TestSoftmax(StrategyContract):
    make = staticmethod(lambda: Stochastic(base=Entropy(), form="softmax", beta=3.0))
    deterministic = False


class TestSoftrank(StrategyContract):
    make = staticmethod(lambda: Stochastic(base=LeastConfidence(), form="softrank"))
    deterministic = False


@dataclass(frozen=True, kw_only=True)
class FirstColumn(Scoring):
    """Scores a row by an affine function of its first probability."""

    factor: float = 1.0
    shift: float = 0.0
    needs: ClassVar = (Probs(),)

    def score(self, ev):
        return self.factor * ev[Probs()][:, 0] + self.shift


def evidence(scores):
    p = np.array(scores, float)
    return Evidence(np.arange(len(p)), {Probs(): np.column_stack([p, 1 - p])}, c=2)


SCORES = [0.05, 0.1, 0.2, 0.4, 0.8]


@pytest.mark.parametrize(
    ("form", "beta", "weight"),
    [
        ("power", 1.0, np.array(SCORES)),
        ("power", 2.0, np.array(SCORES) ** 2),
        ("softmax", 3.0, np.exp(3 * np.array(SCORES))),
        ("softrank", 1.5, np.array([5, 4, 3, 2, 1.0]) ** -1.5),
        ("power", 0.0, np.ones(5)),
        ("softmax", 0.0, np.ones(5)),
    ],
)
def test_first_draw_follows_the_law(form, beta, weight):
    strategy, ev, counts = Stochastic(base=FirstColumn(), form=form, beta=beta), evidence(SCORES), np.zeros(5)
    for seed in range(3000):
        picked = choose(strategy, ev, 1, Seed(seed).key())
        counts[picked.ids] += 1
        assert picked.propensity[0] == pytest.approx((weight / weight.sum())[picked.ids[0]])
        assert picked.utility[0] == SCORES[picked.ids[0]]
    expected = 3000 * weight / weight.sum()
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, 4)


@pytest.mark.parametrize("base", [Margin(), Entropy(), LeastConfidence()])
@pytest.mark.parametrize("form", ["power", "softmax", "softrank"])
def test_large_beta_equals_the_base(base, form):
    ev = fake_evidence(base)
    wrapped = choose(Stochastic(base=base, form=form, beta=1e9), ev, 12, Seed(0).key())
    plain = choose(base, ev, 12, Seed(0).key())
    assert wrapped.ids.tolist() == plain.ids.tolist()
    assert wrapped.utility.tolist() == plain.utility.tolist()


def test_softrank_ignores_monotone_transforms():
    ev = evidence(np.random.default_rng(0).random(30))
    picks = [
        choose(Stochastic(base=base, form="softrank"), ev, 9, Seed(0).key()).ids.tolist()
        for base in (FirstColumn(), FirstColumn(factor=7.0, shift=-3.0))
    ]
    assert picks[0] == picks[1]


def test_margin_enters_power_counted_from_minus_one():
    p = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]])
    ev = Evidence(np.arange(3), {Probs(): p}, c=2)
    picked = choose(Stochastic(base=Margin()), ev, 1, Seed(0).key())
    weight = np.array([1e-12, 0.5, 1.0])
    assert picked.propensity[0] == pytest.approx((weight / weight.sum())[picked.ids[0]])


def test_N4_scores_at_the_floor_are_drawn_uniformly():
    ev, counts = evidence(np.zeros(6)), np.zeros(6)
    for seed in range(1200):
        counts[choose(Stochastic(base=FirstColumn()), ev, 1, Seed(seed).key()).ids] += 1
    assert ((counts - 200) ** 2 / 200).sum() < chi2.isf(1e-6, 5)


def test_power_refuses_scores_below_their_declared_lowest():
    with pytest.raises(ScoreError, match="needs scores of 0 or larger, got -1"):
        choose(Stochastic(base=FirstColumn(factor=-1.0)), evidence([0.0, 1.0]), 1, Seed(0).key())


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf")])
def test_beta_must_be_finite_and_not_negative(beta):
    with pytest.raises(SpecError, match="beta"):
        Stochastic(beta=beta)


def test_is_composed_in_text_and_by_preset():
    assert strategies.build("stochastic(entropy, beta=2)") == Stochastic(base=Entropy(), beta=2.0)
    assert strategies.build({"name": "stochastic", "preset": "power_entropy"}) == Stochastic(base=Entropy())
    assert strategies.build({"name": "stochastic", "preset": "power_margin", "beta": 4}) == Stochastic(beta=4.0)


def test_needs_and_reasons_are_those_of_the_base():
    assert Stochastic(base=Entropy()).needs_at(State()) == Entropy().needs_at(State())
    reason = choose(Stochastic(), fake_evidence(Margin()), 1, Seed(0).key()).reasons[0]
    assert reason.startswith("drawn at random, weighted by a score: its two most likely classes are")
    assert Stochastic(base=FirstColumn()).reason(0.25) == "drawn at random, weighted by a score: 0.25"


def test_a_base_whose_scores_have_no_lowest_value_needs_another_form():
    ev = fake_evidence([PretrainTrace(name="vae_loss")])
    base = VaeLoss(order="ascending")
    with pytest.raises(ScoreError, match="softrank"):
        choose(Stochastic(base=base), ev, 3, Seed(0).key())
    assert len(choose(Stochastic(base=base, form="softrank"), ev, 3, Seed(0).key()).ids) == 3
