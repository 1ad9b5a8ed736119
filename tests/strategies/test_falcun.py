"""FALCUN."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.kernels.scores import margin
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.falcun import Falcun
from querist.strategies.margin import Margin
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestFalcun(StrategyContract):
    make = Falcun
    deterministic = False


def evidence(p):
    return Evidence(np.arange(len(p)), {Probs(): p}, c=p.shape[1])


def test_a_large_gamma_takes_the_smallest_margin_first():
    for seed in range(8):
        ev = fake_evidence(Falcun(), seed=seed)
        one = choose(Falcun(gamma=1e5), ev, 1, Seed(seed).key())
        assert one.ids.tolist() == choose(Margin(), ev, 1, Seed(0).key()).ids.tolist()
        # At first the diversity is the uncertainty, scaled so that its largest is 1.
        assert one.utility[0] == pytest.approx(2.0 + margin(ev[Probs()]).max())


def test_gamma_of_zero_is_uniform():
    p = np.random.default_rng(0).dirichlet(np.ones(4), 10)
    counts = np.zeros(10)
    for seed in range(800):
        picked = choose(Falcun(gamma=0.0), evidence(p), 3, Seed(seed).key())
        counts[picked.ids] += 1
        np.testing.assert_allclose(picked.propensity, [1 / 10, 1 / 9, 1 / 8])
    assert ((counts - 240) ** 2 / 240).sum() < 45


def test_the_second_pick_is_not_predicted_like_the_first():
    alike, unlike = np.tile([0.5, 0.5, 0.0], (30, 1)), np.array([[0.0, 0.45, 0.55]])
    for seed in range(20):
        picked = choose(Falcun(gamma=200.0), evidence(np.vstack([alike, unlike])), 2, Seed(seed).key())
        assert 30 in picked.ids


def test_N1_certain_rows_are_never_drawn_before_uncertain_ones_and_identical_rows_never_twice():
    p = np.vstack([np.eye(3)[[0] * 20], [[0.4, 0.3, 0.3]]])
    for seed in range(20):
        picked = choose(Falcun(), evidence(p), 21, Seed(seed).key())
        assert picked.ids[0] == 20
        assert sorted(picked.ids) == list(range(21))
        assert "at random" in picked.reasons[-1]
        assert "relevance of" in picked.reasons[0]


def test_C19_the_paper_has_a_gamma_of_ten():
    assert strategies.build({"name": "falcun", "preset": "paper"}) == Falcun() == Falcun(gamma=10.0)
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(SpecError, match="gamma"):
            Falcun(gamma=wrong)
