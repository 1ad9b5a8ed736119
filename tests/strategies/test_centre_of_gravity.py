"""Centre of gravity."""

import numpy as np
import pytest

import querist
from querist.evidence.needs import Embeddings, Features
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.centre_of_gravity import CentreOfGravity
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestCentreOfGravity(StrategyContract):
    make = CentreOfGravity


class TestNormalised(StrategyContract):
    def make(self):
        return CentreOfGravity(normalise=True)


@pytest.mark.parametrize(("space", "normalise"), [("features", False), ("features", True), ("embeddings", True)])
def test_equals_numpy(space, normalise):
    strategy = CentreOfGravity(space=space, normalise=normalise)
    ev = fake_evidence(strategy)
    need = Embeddings(frame="all") if space == "embeddings" else Features(frame="all", normalise=normalise)
    assert strategy.needs_at(State()) == (need,)
    x = ev[need].astype(np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if normalise else x
    score = np.linalg.norm(x - x.mean(axis=0), axis=1)[ev.rows("candidates")]
    picked = choose(strategy, ev, 60, Seed(0).key())
    assert picked.ids.tolist() == ev.candidates[np.argsort(-score)].tolist()
    assert picked.utility == pytest.approx(np.sort(score)[::-1], rel=1e-6)


def test_Q1_a_translation_changes_nothing():
    x = np.random.default_rng(0).normal(size=(40, 3))
    plain, moved = (querist.select("cog", 10, embeddings=z) for z in (x, x + np.array([10.0, -4.0, 3.0])))
    assert plain.ids.tolist() == moved.ids.tolist()
    assert plain.utility == pytest.approx(moved.utility)


def test_labelled_rows_count_for_the_centre_and_are_not_picked():
    x = np.array([[0.0], [1.0], [2.0], [101.0]])
    picked = querist.select("cog", 3, features=x, labelled=[3], labels=[0], classes=2)
    assert picked.ids.tolist() == [0, 1, 2]
    assert picked.utility.tolist() == [26.0, 25.0, 24.0]


def test_C19_presets():
    for preset in ("S2", "S3"):
        assert strategies.build({"name": "centre_of_gravity", "preset": preset}) == CentreOfGravity(normalise=False)
