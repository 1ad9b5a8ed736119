"""Robust k-center."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.k_center_greedy import KCenterGreedy
from querist.strategies.k_center_robust import KCenterRobust
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

KEY = Seed(0).key()
RAW = Features(frame="all", normalise=False)


class TestKCenterRobust(StrategyContract):
    make = KCenterRobust
    deterministic = False
    cold = True


class TestKCenterRobustWithOutliers(StrategyContract):
    make = staticmethod(lambda: KCenterRobust(outliers=0.1, normalise=True))
    deterministic = False
    cold = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {RAW: x}, labelled=labelled, c=3)


def radius(x, ids, left_out=0):
    gap = np.linalg.norm(x[:, None].astype(np.float64) - x[None, ids], axis=2).min(axis=1)
    return np.sort(gap)[len(x) - 1 - left_out]


def test_M24_it_covers_with_a_smaller_radius_than_greedy_and_counts_whom():
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(90, 2)).astype(np.float32)
        ev, labelled = evidence(x, [3, 50]), [3, 50]
        picked, greedy = (choose(strategy, ev, 8, KEY) for strategy in (KCenterRobust(), KCenterGreedy()))
        assert radius(x, [*labelled, *picked.ids]) < radius(x, [*labelled, *greedy.ids])
        centres = np.array([*labelled, *picked.ids])
        owner = np.linalg.norm(x[:, None] - x[None, centres], axis=2).argmin(axis=1)
        assert picked.utility.tolist() == np.bincount(owner, minlength=10)[2:].tolist()
        assert picked.utility.tolist() == sorted(picked.utility.tolist(), reverse=True)
        assert "covers all" in picked.reasons[0]


def test_a_programme_too_large_is_solved_greedily_and_the_reasons_say_so():
    ev = fake_evidence(KCenterRobust())
    picked, greedy = (choose(strategy, ev, 9, KEY) for strategy in (KCenterRobust(pairs=5), KCenterGreedy()))
    assert picked.ids.tolist() == greedy.ids.tolist()
    np.testing.assert_allclose(-picked.utility, greedy.utility)
    assert all("picked greedily" in words for words in picked.reasons)
    cold = fake_evidence(KCenterRobust(), labelled=0)
    picked, greedy = (choose(strategy, cold, 9, KEY) for strategy in (KCenterRobust(pairs=5), KCenterGreedy()))
    assert picked.ids.tolist() == greedy.ids.tolist()


def test_outliers_are_a_share_of_all_rows():
    x = np.vstack([np.random.default_rng(0).random((99, 2)), [[80.0, 80.0]]]).astype(np.float32)
    for share, ignored in ((0.009, False), (0.0100001, True)):
        picked = choose(KCenterRobust(outliers=share), evidence(x, [0]), 6, KEY)
        assert (99 not in picked.ids) == ignored


def test_embeddings_where_the_learner_has_them():
    state = State(round=1, n_labelled=5, has_model=True)
    assert KCenterRobust(space="embeddings").needs_at(state) == (Embeddings(frame="all"),)
    assert KCenterRobust(normalise=True).needs_at(state) == (Features(frame="all"),)


def test_C18_impossible_settings_are_refused():
    assert strategies.build({"name": "k_center_robust", "preset": "paper"}) == KCenterRobust(outliers=1e-4)
    for wrong in (
        {"outliers": 1.0},
        {"outliers": -0.1},
        {"tolerance": 1.0},
        {"pairs": 0},
        {"nodes": 0},
        {"seconds": 0.0},
    ):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            KCenterRobust(**wrong)
