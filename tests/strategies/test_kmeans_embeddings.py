"""k-means medoids in the space of the model."""

import numpy as np

from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features
from querist.kernels.kmeans import kmeans
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.kmeans_embeddings import KMeansEmbeddings
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence

KEY = Seed(0).key()
RAW = Features(normalise=False)


class TestKMeansEmbeddings(StrategyContract):
    make = KMeansEmbeddings
    deterministic = False
    cold = True


def points(n=120, d=5, seed=0):
    return (np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(1, 4, d)).astype(np.float32)


def evidence(x, ids=None):
    return Evidence(np.arange(len(x)) if ids is None else ids, {RAW: x}, c=3)


def test_every_pick_is_the_member_nearest_to_the_centre_of_its_cluster():
    x = points()
    picked = choose(KMeansEmbeddings(restarts=3), evidence(x), 9, KEY)
    clusters = kmeans(x, 9, KEY.generator(), restarts=3, iterations=100)
    gap = np.linalg.norm(x.astype(np.float64) - clusters.centres_k_d[clusters.label_N], axis=1)
    expected = {int(min(np.flatnonzero(clusters.label_N == c), key=lambda i: gap[i])) for c in range(9)}
    assert set(picked.ids.tolist()) == expected
    assert picked.utility.tolist() == sorted(clusters.size_k.tolist(), reverse=True)


def test_a_common_factor_changes_nothing_and_lengths_of_single_rows_do():
    x = points()
    plain = choose(KMeansEmbeddings(), evidence(x), 9, KEY).ids.tolist()
    assert choose(KMeansEmbeddings(), evidence(8 * x), 9, KEY).ids.tolist() == plain
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert choose(KMeansEmbeddings(), evidence(unit), 9, KEY).ids.tolist() != plain


def test_C1_clusters_left_empty_are_completed():
    x = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    picked = choose(KMeansEmbeddings(), evidence(x), 8, KEY)
    assert len(set(picked.ids.tolist())) == 8
    assert picked.utility.tolist() == [10] * 3 + [0] * 5
    assert "no group was left" in picked.reasons[-1]


def test_R2_the_key_decides():
    ev = fake_evidence(KMeansEmbeddings(), n=200)
    picks = [tuple(choose(KMeansEmbeddings(), ev, 12, Seed(seed).key()).ids) for seed in (0, 0, 1, 2, 3)]
    assert picks[0] == picks[1]
    assert len(set(picks)) == 4


def test_embeddings_where_the_learner_has_them():
    state = State(round=1, n_labelled=5, has_model=True)
    assert KMeansEmbeddings(space="embeddings").needs_at(state) == (Embeddings(),)
    assert KMeansEmbeddings(space="features").needs_at(state) == (RAW,)


def test_C18_C19_restarts_and_iterations_matter():
    assert strategies.build({"name": "kmeans_embeddings", "preset": "S4"}) == KMeansEmbeddings(
        iterations=300, restarts=10
    )
    x = points(400)
    settings = ({}, {"restarts": 8}, {"iterations": 1})
    assert len({tuple(choose(KMeansEmbeddings(**s), evidence(x), 15, KEY).ids) for s in settings}) == 3
