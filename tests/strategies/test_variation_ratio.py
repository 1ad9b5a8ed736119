"""Variation ratio."""

import numpy as np
import pytest

import querist
from querist.evidence.needs import Draws
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.variation_ratio import VariationRatio
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestVariationRatio(StrategyContract):
    make = VariationRatio
    deterministic = False  # five votes give few values, so that ties decide


def test_counts_votes():
    ev = fake_evidence(VariationRatio())
    p = np.stack(ev[Draws(k=5)])
    votes = np.stack([(p.argmax(axis=2) == y).sum(axis=0) for y in range(4)])
    picked = choose(VariationRatio(), ev, 60, Seed(0).key())
    score = 1 - votes.max(axis=0) / 5
    assert picked.utility == pytest.approx(score[np.searchsorted(ev.candidates, picked.ids)])
    assert picked.utility.tolist() == sorted(picked.utility, reverse=True)
    assert set(np.round(picked.utility * 5, 9)) <= {0, 1, 2, 3, 4}
    assert picked.reasons[0] == f"{score.max():.0%} of the votes go against its most popular class"


def test_C15_is_not_least_confidence():
    """Torn members that agree are what least confidence wants; sure members that disagree are what the votes show."""
    agree, disagree = [[0.51, 0.49]] * 2, [[0.9, 0.1], [0.1, 0.9]]
    draws = np.stack([agree, agree, disagree, agree], axis=1)
    assert querist.select("variation_ratio", 1, draws=draws).ids.tolist() == [2]
    sure = np.stack([[[0.9, 0.1]] * 2, agree], axis=1)
    assert querist.select("least_confidence", 1, probs=sure.mean(axis=0)).ids.tolist() == [1]
    assert querist.select("variation_ratio", 2, draws=sure).utility.tolist() == [0, 0]


def test_N6_rows_with_as_many_votes_are_drawn_alike():
    """Few values exist, so most rows tie: the top of 40 that tie must not follow their position."""
    p = np.eye(3)[np.random.default_rng(0).integers(3, size=(3, 40))]
    draws = np.concatenate([p[:, :1].repeat(40, axis=1)])
    counts = np.zeros(40)
    for seed in range(400):
        counts[querist.select("variation_ratio", 4, draws=draws, seed=seed).ids] += 1
    assert ((counts - 40) ** 2 / 40).sum() < 100  # chi-square of 39 degrees of freedom, 1e-6 beyond 96


def test_C19_presets_and_settings():
    assert strategies.build({"name": "variation_ratio", "preset": "paper"}) == VariationRatio(k=5)
    for preset in ("S2", "S3"):
        assert strategies.build({"name": "variation_ratio", "preset": preset}) == VariationRatio(k=3)
    assert VariationRatio(k=9).needs_at(State()) == (Draws(k=9),)
