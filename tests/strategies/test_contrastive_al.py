"""Contrastive active learning."""

import numpy as np
import pytest
from scipy.special import rel_entr

import querist
from querist.errors import SpecError, UsageError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Probs
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.contrastive_al import ContrastiveAL
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestContrastiveAL(StrategyContract):
    make = ContrastiveAL


class TestOneNeighbour(StrategyContract):
    def make(self):
        return ContrastiveAL(k=1, space="embeddings")


def naive(ev, k, floor, x, y):
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x.astype(float), y.astype(float)))
    p, q = ev[Probs()], ev[Probs(frame="labelled")]
    near = [np.argsort(-(y @ row), kind="stable")[:k] for row in x]
    return np.array([np.mean([rel_entr(q[j], np.maximum(p[i], floor)).sum() for j in near[i]]) for i in range(len(p))])


@pytest.mark.parametrize("space", ["features", "embeddings"])
@pytest.mark.parametrize("k", [1, 4, 10, 40])
def test_equals_brute_force(space, k):
    strategy = ContrastiveAL(k=k, space=space)
    ev = fake_evidence(strategy, labelled=25)
    need = Features if space == "features" else Embeddings
    score = naive(ev, k, strategy.floor, ev[need()], ev[need(frame="labelled")])
    picked = choose(strategy, ev, 60, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], abs=1e-5)


def test_constant_predictions_tell_nothing():
    rng = np.random.default_rng(0)
    p = np.tile(rng.dirichlet(np.ones(4)), (20, 1))
    picked = querist.select(
        "contrastive_al", 5, probs=p, features=rng.normal(size=(20, 3)), labelled=[3, 5], labels=[0, 1]
    )
    assert picked.utility.tolist() == [0.0] * 5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_N1_zeros_stay_finite_through_flooring(dtype):
    needs = ContrastiveAL(space="features").needs_at(State())
    p = np.eye(3, dtype=dtype)
    x = np.ones((3, 2), np.float32)
    ev = Evidence(np.arange(3), dict(zip(needs, (p, p[:1], x, x[:1]), strict=True)), labelled=np.array([7]), c=3)
    score = ContrastiveAL(space="features", floor=1e-4).score(ev)
    assert score == pytest.approx([0.0, -np.log(1e-4), -np.log(1e-4)], rel=1e-3)


def test_without_labels_it_says_what_to_do():
    x, p = np.eye(3), np.full((3, 2), 0.5)
    with pytest.raises(UsageError, match="compares with labelled rows, and there are none"):
        querist.select("contrastive_al", 1, probs=p, features=x)


def test_C18_C19_settings_and_names():
    assert strategies.build("cal") == ContrastiveAL()
    assert strategies.build({"name": "contrastive_al", "preset": "paper"}) == ContrastiveAL(k=10)
    with pytest.raises(SpecError, match="k to be 1 or larger"):
        ContrastiveAL(k=0)
    with pytest.raises(SpecError, match="floor to be above 0"):
        ContrastiveAL(floor=0.0)
