"""Entropy of the mean of the draws."""

import numpy as np
import pytest

import querist
from querist.evidence.needs import Draws
from querist.kernels import scores
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.mc_entropy import McEntropy
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestMcEntropy(StrategyContract):
    make = McEntropy


def test_probabilities_are_averaged_and_not_their_entropies_or_logits():
    ev = fake_evidence(McEntropy(k=6))
    p = np.stack(ev[Draws(k=6)])
    picked = choose(McEntropy(k=6), ev, 60, Seed(0).key())
    score = scores.entropy(p.mean(axis=0))
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], rel=1e-12)
    geometric = np.exp(np.log(p).mean(axis=0))
    other = scores.entropy(geometric / geometric.sum(axis=1, keepdims=True))
    assert np.argsort(-other).tolist() != np.argsort(-score).tolist()
    assert picked.reasons[0] == f"the mean prediction of the draws has an entropy of {score.max():.3f} nats"


def test_draws_that_are_the_same_are_plain_entropy():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=50)
    many = querist.select("mc_entropy", 50, draws=np.stack([p] * 3))
    plain = querist.select("entropy", 50, probs=p)
    assert many.ids.tolist() == plain.ids.tolist()
    assert many.utility == pytest.approx(plain.utility, rel=1e-12)


def test_alias_and_C19_presets():
    assert strategies.build("dbal") == McEntropy(k=25)
    for preset in ("S2", "S3"):
        assert strategies.build({"name": "mc_entropy", "preset": preset}) == McEntropy(k=25)
    assert McEntropy(k=9).needs_at(State()) == (Draws(k=9),)
