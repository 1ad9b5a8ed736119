"""Variation ratio of the votes of an ensemble."""

import numpy as np
import pytest

import querist
from querist.evidence.needs import Draws
from querist.learners.committee import Committee
from querist.session.session import Session
from querist.strategies.base import State, strategies
from querist.strategies.ensemble_variation_ratio import EnsembleVariationRatio
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset


class TestEnsembleVariationRatio(StrategyContract):
    make = EnsembleVariationRatio
    deterministic = False  # three votes give few values, so that ties decide


def test_T17_equals_the_score_of_draws_on_the_same_draws():
    draws = np.random.default_rng(0).dirichlet(np.full(4, 0.5), size=(3, 50))
    one = querist.select("ensemble_variation_ratio", 50, draws=draws, seed=1)
    other = querist.select("variation_ratio", 50, draws=draws, seed=1)
    assert one.utility.tolist() == other.utility.tolist()
    by_id, same = (dict(zip(p.ids.tolist(), p.utility.tolist(), strict=True)) for p in (one, other))
    assert by_id == same


def test_counts_votes():
    votes = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2]])
    draws = np.eye(3)[votes.T]
    picked = querist.select("ensemble_variation_ratio", 3, draws=draws)
    assert picked.ids.tolist() == [2, 1, 0]
    assert picked.utility == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert picked.reasons[0] == "67% of the members' votes go against its most popular class"


def test_N6_rows_with_as_many_votes_are_drawn_alike():
    draws = np.tile(np.eye(3)[[0, 1, 2]][:, None, :], (1, 40, 1))
    counts = np.zeros(40)
    for seed in range(400):
        counts[querist.select("ensemble_variation_ratio", 4, draws=draws, seed=seed).ids] += 1
    assert ((counts - 40) ** 2 / 40).sum() < 100  # chi-square of 39 degrees of freedom, 1e-6 beyond 96


def test_members_that_agree_leave_nothing_to_vote_about():
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=8)
    assert querist.select("ensemble_variation_ratio", 8, draws=np.stack([p] * 3)).utility.tolist() == [0.0] * 8


def test_R7_members_are_the_same_however_many_there_are():
    def picks(members):
        session = Session(
            fake_dataset(), learner=Committee(members=members), strategy="ensemble_variation_ratio", initial="random"
        )
        first = session.ask(6)
        session.tell({i: i % 3 for i in first.ids.tolist()})
        return session.ask(5).ids.tolist()

    assert picks(3) == picks(8)


def test_C19_presets_and_what_it_needs():
    for preset, k in (("paper", 5), ("S2", 3), ("S3", 3)):
        assert strategies.build({"name": "ensemble_variation_ratio", "preset": preset}) == EnsembleVariationRatio(k=k)
    assert EnsembleVariationRatio().needs_at(State()) == (Draws(k=3, coherent=True),)
