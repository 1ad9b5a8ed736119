"""k-means medoids chosen afresh for every budget."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.kmeans_single_batch import KMeansSingleBatch
from querist.testing.contract import StrategyContract


class TestKMeansSingleBatch(StrategyContract):
    make = KMeansSingleBatch
    deterministic = False
    cold = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    candidates = np.setdiff1d(np.arange(len(x)), labelled)
    return Evidence(candidates, {Features(): x[candidates]}, labelled=labelled, c=2)


def blobs(k, size, seed=0):
    x = np.repeat(np.eye(k), size, axis=0) + 0.02 * np.random.default_rng(seed).normal(size=(k * size, k))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_one_pick_per_blob_and_it_is_the_medoid():
    x = blobs(8, 25)
    picked = choose(KMeansSingleBatch(), evidence(x), 8, Seed(0).key())
    assert sorted((picked.ids // 25).tolist()) == list(range(8))
    for row in picked.ids:
        members = np.arange(row // 25 * 25, row // 25 * 25 + 25)
        gap = np.square(x[members].astype(float) - x[members].mean(axis=0, dtype=float)).sum(axis=1)
        assert row == members[gap.argmin()]
    assert picked.utility.tolist() == [25] * 8
    assert picked.reasons[0] == "it is the most central item of a group of 25"


def test_C1_empty_clusters_are_completed_farthest_first():
    x = np.repeat(np.eye(3, dtype=np.float32), [5, 4, 3], axis=0)
    picked = choose(KMeansSingleBatch(), evidence(x), 7, Seed(0).key())
    assert len(set(picked.ids.tolist())) == 7
    assert picked.utility.tolist() == [5, 4, 3, 0, 0, 0, 0]
    assert "no group was left" in picked.reasons[-1]


def test_C9_every_budget_is_a_selection_of_its_own():
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    small, large = (set(choose(KMeansSingleBatch(), evidence(x), b, Seed(0).key()).ids.tolist()) for b in (10, 30))
    assert len(small) == 10
    assert len(large) == 30
    assert not small <= large


def test_R3_the_seed_is_not_hidden():
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    picks = {tuple(choose(KMeansSingleBatch(restarts=1), evidence(x), 9, Seed(s).key()).ids) for s in range(4)}
    assert len(picks) == 4


def test_C18_settings_change_the_result_or_are_refused():
    x = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    settings = [{}, {"restarts": 1}, {"iterations": 1}]
    picks = {tuple(choose(KMeansSingleBatch(**s), evidence(x), 15, Seed(0).key()).ids) for s in settings}
    assert len(picks) == 3
    for wrong in ({"restarts": 0}, {"iterations": 0}):
        with pytest.raises(SpecError, match="1 or larger, got 0"):
            KMeansSingleBatch(**wrong)


def test_C19_preset_alias_and_flag():
    assert strategies.build({"name": "kmeans", "preset": "S0"}) == KMeansSingleBatch(iterations=20, restarts=5)
    assert strategies.card("kmeans").flags == {"one_shot"}
