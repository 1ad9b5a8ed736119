"""BADGE."""

import numpy as np
import pytest
from scipy.stats import chi2

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Factors, Gradients
from querist.seeds import Seed
from querist.strategies.badge import Badge
from querist.strategies.base import choose, strategies
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestBadge(StrategyContract):
    make = Badge
    deterministic = False


class TestBadgeWithBias(StrategyContract):
    make = staticmethod(lambda: Badge(gradient="bias_linear"))
    deterministic = False


def test_M17_first_pick_is_the_largest_gradient_and_the_utility_its_size():
    ev = fake_evidence(Badge())
    residual, embedding = ev[Gradients()]
    size = np.linalg.norm(residual, axis=1) * np.linalg.norm(embedding, axis=1)
    for seed in range(10):
        picked = choose(Badge(), ev, 5, Seed(seed).key())
        assert picked.ids[0] == ev.candidates[size.argmax()]
        assert picked.utility[0] == pytest.approx(size.max())


def test_utility_is_the_distance_to_the_nearest_earlier_pick():
    ev = fake_evidence(Badge())
    gradient = np.einsum("nc,nd->ncd", *ev[Gradients()]).reshape(60, -1)
    picked = choose(Badge(), ev, 20, Seed(0).key())
    g = gradient[np.searchsorted(ev.candidates, picked.ids)]
    for i in range(1, 20):
        assert picked.utility[i] == pytest.approx(np.linalg.norm(g[i] - g[:i], axis=1).min(), rel=1e-9)
    assert picked.reasons[1].startswith("labelling it would move the model")


def test_the_bias_counts():
    rng = np.random.default_rng(0)
    factors = Factors(rng.normal(size=(50, 3)), 0.1 * rng.normal(size=(50, 4)))
    written = Factors(factors.residual, np.column_stack([factors.embedding, np.ones(50)]))
    bias, plain, explicit = (
        choose(strategy, Evidence(np.arange(50), {Gradients(): value}, c=3), 10, Seed(0).key())
        for strategy, value in (
            (Badge(gradient="bias_linear"), factors), (Badge(), factors), (Badge(), written),
        )
    )  # fmt: skip
    assert bias.ids.tolist() == explicit.ids.tolist()
    assert bias.utility == pytest.approx(explicit.utility)
    assert bias.ids.tolist() != plain.ids.tolist()


def test_C2_confident_rows_have_no_gradient_and_are_still_distinct():
    ev = fake_evidence(Badge(), kind="one_hot")
    picked = choose(Badge(), ev, 60, Seed(0).key())
    assert len(set(picked.ids.tolist())) == 60
    assert picked.utility.tolist() == [0] * 60


def test_R2_draws_depend_on_the_key_and_on_ids():
    ev = fake_evidence(Badge())
    picks = {tuple(choose(Badge(), ev, 6, Seed(seed).key()).ids[1:]) for seed in range(5)}
    assert len(picks) == 5


def test_M28_successive_draws_are_independent_and_in_proportion_to_squared_distance():
    position = np.array([10.0, 9.0, 0.0, 4.0, 6.0])
    factors = Factors(np.tile([1.0, 0.0], (5, 1)), position[:, None])
    ev = Evidence(np.arange(5), {Gradients(): factors}, c=2)
    counts, expected = np.zeros((5, 5)), np.zeros((5, 5))
    for seed in range(4000):
        first, second, third = choose(Badge(), ev, 3, Seed(seed).key()).ids
        assert first == 0
        counts[second, third] += 1
    for second in range(1, 5):
        one = np.square(position - 10)
        two = np.minimum(one, np.square(position - position[second]))
        expected[second] = 4000 * one[second] / one.sum() * two / two.sum()
    some = expected > 0
    assert counts[~some].sum() == 0
    assert ((counts - expected)[some] ** 2 / expected[some]).sum() < chi2.isf(1e-6, some.sum() - 1)


@pytest.mark.parametrize("preset", ["paper", "S4"])
def test_C19_presets(preset):
    assert strategies.build({"name": "badge", "preset": preset}) == Badge(gradient="linear")
