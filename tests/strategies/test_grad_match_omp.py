"""GradMatch by orthogonal matching pursuit."""

import numpy as np
import pytest
from scipy.optimize import nnls

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Factors, Gradients
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.composition import flags_of
from querist.strategies.grad_match_omp import GradMatchOmp
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestGradMatchOmp(StrategyContract):
    make = GradMatchOmp


class TestNoRidge(StrategyContract):
    make = staticmethod(lambda: GradMatchOmp(ridge=0.0, scaling="pool"))


def evidence(a, z):
    return Evidence(np.arange(len(a)), {Gradients(): Factors(a, z)}, c=a.shape[1])


def test_picks_equal_the_naive_form():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        a, z = rng.normal(size=(20, 3)), rng.normal(size=(20, 4))
        g = np.einsum("nc,nd->ncd", a, z)
        picked = choose(GradMatchOmp(ridge=0.3), evidence(a, z), 6, Seed(0).key())
        target = g.mean(0) * 6
        residual, before = target, np.square(target).sum()
        for t, row in enumerate(picked.ids):
            product = (g * residual).sum((1, 2))
            product[picked.ids[:t]] = -np.inf
            if product.max() <= 1e-9:
                assert picked.utility[t:].tolist() == [0.0] * (6 - t)
                break
            assert row == product.argmax()
            columns = g[picked.ids[: t + 1]].reshape(t + 1, -1).T
            system = np.vstack([columns, np.sqrt(0.3) * np.eye(t + 1)])
            weight, error = nnls(system, np.append(target.ravel(), np.zeros(t + 1)))
            assert picked.utility[t] == pytest.approx(before - error**2, abs=1e-8)
            residual, before = target - np.einsum("t,tcd->cd", weight, g[picked.ids[: t + 1]]), error**2


def test_a_planted_subset_of_orthogonal_gradients_comes_first_and_chance_completes_the_batch():
    a, z = np.repeat(np.eye(4), 5, axis=0), np.tile(np.eye(5), (4, 1))
    a[[0, 6, 12, 18]] *= 3.0
    rest = np.setdiff1d(np.arange(20), [0, 6, 12, 18])
    a[rest] *= np.where(np.arange(16) % 2, 1e-30, -1e-30)[:, None]
    drawn = set()
    for seed in range(10):
        picked = choose(GradMatchOmp(ridge=0.0), evidence(a, z), 7, Seed(seed).key())
        assert sorted(picked.ids[:4].tolist()) == [0, 6, 12, 18]
        assert picked.utility[4:].tolist() == [0.0] * 3
        assert picked.reasons[-1].startswith("drawn at random")
        drawn.add(tuple(picked.ids[4:]))
    assert len(drawn) == 10


def test_N1_C1_one_hot_probabilities_leave_nothing_to_match():
    ev = fake_evidence(GradMatchOmp(), kind="one_hot")
    picked = choose(GradMatchOmp(), ev, 60, Seed(0).key())
    assert picked.utility.tolist() == [0.0] * 60
    assert len(set(picked.ids.tolist())) == 60


def test_L7_flags_presets_and_mistakes():
    assert flags_of(GradMatchOmp(validation=True)) == {"validation"}
    assert strategies.build({"name": "grad_match_omp", "preset": "paper"}) == GradMatchOmp(ridge=0.5)
    with pytest.raises(SpecError, match="ridge"):
        GradMatchOmp(ridge=-1.0)
