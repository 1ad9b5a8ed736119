"""TypiClust."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.kernels.kmeans import kmeans
from querist.kernels.typicality import typicality
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.typiclust import TypiClust
from querist.testing.contract import StrategyContract


class TestTypiClust(StrategyContract):
    make = TypiClust
    deterministic = False
    cold = True


class TestOfficialTypiClust(StrategyContract):
    make = staticmethod(lambda: strategies.build({"name": "typiclust", "preset": "official"}))
    cold = True


class TestResortedTypiClust(StrategyContract):
    make = staticmethod(lambda: TypiClust(resort=True, min_size=0))
    cold = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=2)


def blobs(sizes, seed=0):
    k = len(sizes)
    x = np.repeat(np.eye(k), sizes, axis=0) + 0.05 * np.random.default_rng(seed).normal(size=(sum(sizes), k))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_separated_blobs_are_hit_once_each_and_the_largest_first():
    sizes = [30, 22, 26, 40, 24, 28]
    blob = np.repeat(np.arange(6), sizes)
    picked = choose(TypiClust(restarts=5), evidence(blobs(sizes)), 6, Seed(0).key())
    assert blob[picked.ids].tolist() == [3, 0, 5, 2, 4, 1]


def test_M13_the_pick_is_the_most_typical_of_its_blob_by_brute_force():
    x = blobs([40, 30, 25])
    picked = choose(TypiClust(restarts=5), evidence(x), 3, Seed(0).key())
    for blob, row, utility in zip((0, 1, 2), picked.ids, picked.utility, strict=True):
        members = np.flatnonzero(np.repeat(np.arange(3), [40, 30, 25]) == blob)
        gap = np.sqrt(np.square(x[members].astype(float)[:, None] - x[members].astype(float)[None]).sum(axis=2))
        k = min(20, len(members) // 2)
        typical = 1 / (np.sort(gap, axis=1)[:, 1 : k + 1].mean(axis=1) + 1e-5)
        assert row == members[typical.argmax()]
        assert utility == pytest.approx(typical.max(), rel=1e-9)


def test_labelled_blobs_come_last_and_their_labelled_rows_are_no_neighbours():
    sizes = [30, 30, 30]
    x = blobs(sizes)
    labelled = np.array([0, 1, 2, 3, 40])
    strategy = TypiClust(max_clusters=3, restarts=5)
    picked = choose(strategy, evidence(x, labelled), 6, Seed(0).key())
    assert (picked.ids // 30).tolist() == [2, 1, 0, 2, 1, 0]
    members = np.arange(4, 30)
    assert picked.utility[2] == pytest.approx(typicality(x, members, 13).max())
    members = np.setdiff1d(np.arange(60, 90), picked.ids[:1])
    assert picked.utility[3] == pytest.approx(typicality(x, members, 14).max())


def test_C1_when_all_clusters_are_small_it_completes_farthest_first():
    x = blobs([5] * 6)
    for labelled in ([], [0, 7]):
        ev = evidence(x, labelled)
        picked = choose(TypiClust(max_clusters=6, restarts=5), ev, 20, Seed(0).key())
        assert len(set(picked.ids.tolist())) == 20
        assert picked.utility.tolist() == [0] * 20
        assert "no group was left" in picked.reasons[0]
        covered = {*labelled, *picked.ids[: 6 - len(labelled)].tolist()}
        assert {i // 5 for i in covered} == set(range(6))


def test_number_of_clusters_is_labels_plus_batch_up_to_the_limit(monkeypatch):
    asked = []

    def spy(x, k, generator, **settings):
        asked.append((k, settings))
        return kmeans(x, k, generator, **settings)

    monkeypatch.setattr("querist.strategies.typiclust.kmeans", spy)
    x = blobs([40, 40])
    choose(TypiClust(), evidence(x, range(10)), 5, Seed(0).key())
    choose(TypiClust(max_clusters=7, restarts=2, iterations=3), evidence(x, range(10)), 5, Seed(0).key())
    choose(TypiClust(), evidence(x, range(10)), 70, Seed(0).key())
    assert [k for k, _ in asked] == [15, 7, 80]
    assert asked[1][1] == {"restarts": 2, "iterations": 3}


def test_C18_every_setting_matters():
    x = np.random.default_rng(0).normal(size=(200, 3))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    settings = [
        {}, {"max_clusters": 9}, {"min_size": 30}, {"neighbours": 2}, {"distance": "squared", "neighbours": 9},
        {"iterations": 1}, {"restarts": 9},
    ]  # fmt: skip
    picks = [choose(TypiClust(**s), evidence(x, range(8)), 12, Seed(0).key()) for s in settings]
    assert len({tuple(p.utility) for p in picks}) == len(settings)
    for wrong in ({"max_clusters": 0}, {"neighbours": 0}, {"min_size": -1}, {"iterations": 0}, {"restarts": 0}):
        with pytest.raises(SpecError, match="or larger, got"):
            TypiClust(**wrong)


def test_C19_presets_are_frozen():
    assert strategies.build({"name": "typiclust", "preset": "paper"}) == TypiClust(
        max_clusters=500, min_size=5, neighbours=20, distance="plain"
    )
    assert strategies.build({"name": "typiclust", "preset": "official"}) == TypiClust(
        max_clusters=500, min_size=5, neighbours=20, distance="squared", resort=False, iterations=300, restarts=10
    )


def test_R2_same_key_same_picks_other_key_other_picks():
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    picks = [tuple(choose(TypiClust(), evidence(x), 12, Seed(seed).key()).ids) for seed in (0, 0, 1, 2)]
    assert picks[0] == picks[1]
    assert len(set(picks)) == 3
