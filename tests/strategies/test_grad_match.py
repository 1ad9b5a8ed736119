"""GradMatch with equal weights."""

import numpy as np
import pytest

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Factors, Gradients
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.composition import flags_of
from querist.strategies.grad_match import GradMatch
from querist.strategies.random import Random
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestGradMatch(StrategyContract):
    make = GradMatch
    deterministic = True


class TestPoolScaling(StrategyContract):
    make = staticmethod(lambda: GradMatch(scaling="pool"))
    deterministic = True


class TestValidation(StrategyContract):
    make = staticmethod(lambda: GradMatch(validation=True))
    deterministic = True


def evidence(seed=0, n=20, targets=6):
    rng = np.random.default_rng(seed)
    factors, held = (Factors(rng.normal(size=(m, 3)), rng.normal(size=(m, 4))) for m in (n, targets))
    values = {Gradients(): factors, Gradients(frame="targets"): held}
    ev = Evidence(np.arange(n), values, targets=np.arange(n, n + targets), c=3)
    return ev, *(np.einsum("nc,nd->ncd", *part) for part in (factors, held))


@pytest.mark.parametrize("scaling", ["batch", "pool"])
@pytest.mark.parametrize("validation", [False, True])
def test_picks_equal_the_naive_form_with_the_scale_that_is_named(scaling, validation):
    for seed in range(6):
        ev, g, held = evidence(seed)
        picked = choose(GradMatch(scaling=scaling, validation=validation), ev, 8, Seed(0).key())
        residual = (held if validation else g).mean(0) * (8 if scaling == "batch" else 20)
        for t, row in enumerate(picked.ids):
            error = np.square(residual - g).sum((1, 2))
            error[picked.ids[:t]] = np.inf
            assert row == error.argmin()
            assert picked.utility[t] == pytest.approx(np.square(residual).sum() - error.min())
            residual = residual - g[row]


def test_one_pick_is_that_of_brute_force():
    for seed in range(10):
        ev, g, _ = evidence(seed, n=12)
        picked = choose(GradMatch(), ev, 1, Seed(0).key())
        assert picked.ids[0] == np.linalg.norm((g.mean(0) - g).reshape(12, -1), axis=1).argmin()


def test_N1_one_hot_probabilities_have_no_gradient_and_ties_are_keyed():
    ev = fake_evidence(GradMatch(), kind="one_hot")
    picked = choose(GradMatch(), ev, 5, Seed(0).key())
    assert picked.utility.tolist() == [0.0] * 5
    assert picked.ids.tolist() == choose(Random(), ev, 5, Seed(0).key()).ids.tolist()
    assert picked.reasons[0].startswith("no gradient brings the batch closer")


def test_L7_a_validation_set_is_flagged():
    assert flags_of(GradMatch(validation=True)) == {"validation"}
    assert flags_of(strategies.build("grad_match(scaling=pool)")) == frozenset()
