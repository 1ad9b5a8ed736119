"""The initial pool of DropQuery."""

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose
from querist.strategies.centroid_init import CentroidInit
from querist.strategies.kmeans_single_batch import KMeansSingleBatch
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestCentroidInit(StrategyContract):
    make = CentroidInit
    deterministic = False
    cold = True


def unit(n, d=4, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_equals_kmeans_single_batch_with_the_same_settings():
    for settings in ({"iterations": 100, "restarts": 1}, {"iterations": 3, "restarts": 4}):
        for kind in ("generic", "ties", "duplicates", "zeros"):
            one, other = (
                choose(make(**settings), fake_evidence(make(), labelled=0, kind=kind), 11, Seed(0).key())
                for make in (CentroidInit, KMeansSingleBatch)
            )
            assert one.ids.tolist() == other.ids.tolist()
            assert one.utility.tolist() == other.utility.tolist()


def test_one_pick_per_blob_nearest_to_its_centre():
    x = np.repeat(np.eye(5), 30, axis=0) + 0.02 * np.random.default_rng(0).normal(size=(150, 5))
    x = x.astype(np.float32)
    picked = choose(CentroidInit(restarts=5), Evidence(np.arange(150), {Features(): x}, c=5), 5, Seed(0).key())
    for blob in range(5):
        members = np.arange(30 * blob, 30 * blob + 30)
        gap = np.square(x[members] - x[members].mean(axis=0, dtype=float)).sum(axis=1)
        assert members[gap.argmin()] in picked.ids
    assert picked.utility.tolist() == [30] * 5


def test_labels_do_not_matter():
    x = unit(90)
    candidates, labelled = np.arange(10, 90), np.arange(10)
    with_labels = Evidence(candidates, {Features(): x[10:]}, labelled=labelled, c=3)
    without = Evidence(candidates, {Features(): x[10:]}, c=3)
    one, other = (choose(CentroidInit(), ev, 8, Seed(0).key()) for ev in (with_labels, without))
    assert one.ids.tolist() == other.ids.tolist()


def test_C18_R2_settings_and_keys_matter():
    ev = Evidence(np.arange(200), {Features(): unit(200)}, c=3)
    picks = [
        tuple(choose(CentroidInit(**s), ev, 12, Seed(seed).key()).ids)
        for s, seed in (({}, 0), ({}, 1), ({"iterations": 1}, 0), ({"restarts": 7}, 0), ({}, 0))
    ]
    assert len(set(picks)) == 4
    assert picks[0] == picks[-1]
