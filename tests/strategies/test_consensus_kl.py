"""Divergence from the consensus."""

import numpy as np
import pytest
from scipy.special import rel_entr

import querist
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.base import State, choose
from querist.strategies.consensus_kl import ConsensusKl
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestConsensusKl(StrategyContract):
    make = ConsensusKl


def test_is_the_mean_divergence_from_the_mean():
    ev = fake_evidence(ConsensusKl())
    p = np.stack(ev[Draws(k=5)])
    score = rel_entr(p, p.mean(axis=0)).sum(axis=2).mean(axis=0)
    picked = choose(ConsensusKl(), ev, 60, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], rel=1e-11)
    assert picked.reasons[0] == f"the draws are {score.max():.3f} nats away from their consensus"


@pytest.mark.parametrize("concentration", [0.02, 0.5, 20.0])
def test_equals_bald_on_the_same_draws(concentration):
    draws = np.random.default_rng(0).dirichlet(np.full(6, concentration), size=(5, 200))
    one, other = (querist.select(name, 200, draws=draws) for name in ("consensus_kl", "bald"))
    assert dict(zip(one.ids, one.utility, strict=True)) == pytest.approx(
        dict(zip(other.ids, other.utility, strict=True)), abs=1e-10
    )


def test_C18_k_is_what_it_asks_for():
    assert ConsensusKl().needs_at(State()) == (Draws(k=5),)
    assert ConsensusKl(k=8).needs_at(State()) == (Draws(k=8),)
