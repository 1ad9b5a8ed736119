"""k-means medoids batch by batch."""

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Features
from querist.seeds import Seed
from querist.strategies.base import choose, strategies
from querist.strategies.kmeans_multi_batch import KMeansMultiBatch
from querist.strategies.kmeans_single_batch import KMeansSingleBatch
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestKMeansMultiBatch(StrategyContract):
    make = KMeansMultiBatch
    deterministic = False
    cold = True


def evidence(x, labelled=()):
    labelled = np.array(labelled, np.int64)
    return Evidence(np.setdiff1d(np.arange(len(x)), labelled), {Features(frame="all"): x}, labelled=labelled, c=2)


def blobs(k, size):
    x = np.repeat(np.eye(k), size, axis=0) + 0.02 * np.random.default_rng(0).normal(size=(k * size, k))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_C1_a_labelled_blob_gives_its_pick_to_the_row_farthest_from_everything():
    x = blobs(6, 20)
    labelled = np.arange(40, 60)
    picked = choose(KMeansMultiBatch(), evidence(x, labelled), 6, Seed(0).key())
    assert len(set(picked.ids.tolist())) == 6
    assert sorted((picked.ids[:5] // 20).tolist()) == [0, 1, 3, 4, 5]
    assert picked.utility.tolist() == [20, 20, 20, 20, 20, 0]
    covered = np.concatenate([labelled, picked.ids[:5]])
    near = np.square(x[:, None] - x[covered][None]).sum(axis=2).min(axis=1)
    assert picked.ids[5] == near.argmax()


def test_C1_the_completion_keeps_away_from_labelled_rows():
    # The first cluster is labelled. Of the second, 13.1 is farthest from its medoid, but 13 beside it is labelled.
    x = np.array(
        [[0.0], [0.1], [0.2], [10.0], [10.2], [10.4], [10.6], [13.0], [13.1], [30.0], [31.0], [32.0]], np.float32
    )
    picked = choose(KMeansMultiBatch(), evidence(x, [0, 1, 2, 7]), 3, Seed(0).key())
    assert picked.utility.tolist() == [6, 3, 0]
    assert picked.ids[1] == 10
    assert picked.ids[2] in (9, 11)


def test_within_a_cluster_the_unlabelled_row_nearest_to_the_centre_of_all_members():
    x = blobs(3, 20)
    centre = x[:20].mean(axis=0, dtype=float)
    order = np.square(x[:20] - centre).sum(axis=1).argsort()
    picked = choose(KMeansMultiBatch(), evidence(x, np.sort(order[:4])), 3, Seed(0).key())
    assert order[4] in picked.ids


def test_without_labels_it_equals_the_single_batch():
    multi = KMeansMultiBatch()
    single = KMeansSingleBatch()
    for kind in ("generic", "ties", "duplicates"):
        one = choose(multi, fake_evidence(multi, labelled=0, kind=kind), 9, Seed(0).key())
        other = choose(single, fake_evidence(single, labelled=0, kind=kind), 9, Seed(0).key())
        assert one.ids.tolist() == other.ids.tolist()
        assert one.utility.tolist() == other.utility.tolist()


def test_C15_with_labels_it_differs_from_the_single_batch():
    x = np.random.default_rng(0).normal(size=(150, 4)).astype(np.float32)
    labelled = np.arange(0, 150, 3)
    candidates = np.setdiff1d(np.arange(150), labelled)
    single = Evidence(candidates, {Features(): x[candidates]}, labelled=labelled, c=2)
    one = choose(KMeansSingleBatch(), single, 8, Seed(0).key())
    other = choose(KMeansMultiBatch(), evidence(x, labelled), 8, Seed(0).key())
    assert set(one.ids.tolist()) != set(other.ids.tolist())


def test_C19_preset_and_alias():
    built = strategies.build({"name": "accu_kmeans", "preset": "S0"})
    assert built == KMeansMultiBatch(iterations=20, restarts=5)
    assert not strategies.card("kmeans_multi_batch").flags
