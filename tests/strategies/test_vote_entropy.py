"""Vote entropy."""

import numpy as np
import pytest
from scipy.stats import entropy

import querist
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.base import State, choose
from querist.strategies.vote_entropy import VoteEntropy
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestVoteEntropy(StrategyContract):
    make = VoteEntropy
    deterministic = False  # five votes give few values, so that ties decide


def test_is_the_entropy_of_the_votes():
    ev = fake_evidence(VoteEntropy())
    winner = np.stack(ev[Draws(k=5)]).argmax(axis=2)
    score = entropy(np.stack([(winner == y).mean(axis=0) for y in range(4)]))
    picked = choose(VoteEntropy(), ev, 60, Seed(0).key())
    assert picked.utility == pytest.approx(score[np.searchsorted(ev.candidates, picked.ids)], abs=1e-11)
    assert picked.utility.tolist() == sorted(picked.utility, reverse=True)
    assert picked.reasons[0] == f"the votes on its class have an entropy of {score.max():.3f} nats"


def test_N6_patterns_of_votes_that_are_alike_are_ties():
    """Three votes against two, whatever the classes and whoever cast them."""
    rng = np.random.default_rng(0)
    winner = np.stack(
        [rng.permutation([a, a, a, b, b]) for a, b in (rng.permutation(7)[:2] for _ in range(60))], axis=1
    )
    picked = querist.select("vote_entropy", 60, draws=np.eye(7)[winner])
    assert len(set(picked.utility.tolist())) == 1
    assert picked.ids.tolist() != querist.select("vote_entropy", 60, draws=np.eye(7)[winner], seed=1).ids.tolist()


def test_differs_from_variation_ratio_where_the_rest_is_spread():
    draws = np.eye(4)[np.array([[0, 0, 1, 1], [0, 0, 1, 2]]).T]
    assert querist.select("vote_entropy", 1, draws=draws).ids.tolist() == [1]
    assert querist.select("variation_ratio", 2, draws=draws).utility.tolist() == [0.5, 0.5]


def test_C18_k_is_what_it_asks_for():
    assert VoteEntropy().needs_at(State()) == (Draws(k=5),)
    assert VoteEntropy(k=8).needs_at(State()) == (Draws(k=8),)
