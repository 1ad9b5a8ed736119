"""Cluster-Margin."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Embeddings, Features, Probs
from querist.kernels.linkage import average_linkage
from querist.seeds import Seed
from querist.strategies.base import State, choose, strategies
from querist.strategies.cluster_margin import ClusterMargin
from querist.strategies.margin import Margin
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_evidence


class TestClusterMargin(StrategyContract):
    make = ClusterMargin
    deterministic = False


class TestClusterMarginWithLargeClusters(StrategyContract):
    make = staticmethod(lambda: ClusterMargin(mean_size=10.0))
    deterministic = False


class TestClusterMarginByThreshold(StrategyContract):
    make = staticmethod(lambda: ClusterMargin(threshold=0.3, oversampling=2.0))
    deterministic = False


def blobs(sizes, d=12, seed=0):
    """Tight groups of directions, in order."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    x = np.eye(d)[group] + 0.02 * np.random.default_rng(seed).normal(size=(len(group), d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), group


def two_class(margin):
    """Probabilities of two classes with these margins."""
    margin = np.asarray(margin)
    return np.stack([(1 + margin) / 2, (1 - margin) / 2], axis=1)


def evidence(x, p, labelled=()):
    labelled = np.array(labelled, np.int64)
    candidates = np.setdiff1d(np.arange(len(x)), labelled)
    return Evidence(candidates, {Probs(): p[candidates], Features(frame="all"): x}, labelled=labelled, c=p.shape[1])


def naive(group, rows, b):
    """Groups in ascending order of size, one member each in turn; returns the groups in order of picking."""
    left = {g: int((group[rows] == g).sum()) for g in set(group[rows].tolist())}
    size, order = dict(left), []
    while len(order) < b:
        for g in sorted(left, key=lambda g: size[g]):
            if left[g] and len(order) < b:
                left[g] -= 1
                order.append(g)
    return order


def test_M4_clusters_come_by_the_number_of_uncertain_rows_in_every_round():
    sizes = [30, 5, 12, 50, 20]
    x, group = blobs(sizes)
    rng = np.random.default_rng(0)
    labelled = np.array([0, 31, 60])
    for turn in range(3):
        p = two_class(rng.random(len(x)))
        ev = evidence(x, p, labelled)
        picked = choose(ClusterMargin(oversampling=3.0, threshold=0.5), ev, 11, Seed(0).child("round", turn).key())
        margin = p[ev.candidates].max(axis=1) - p[ev.candidates].min(axis=1)
        rows = ev.candidates[np.argsort(margin)[:33]]
        assert set(picked.ids) <= set(rows)
        size = np.bincount(group[rows], minlength=5)
        order = naive(group, rows, 11)
        assert size[group[picked.ids]].tolist() == size[order].tolist()
        assert sorted(group[picked.ids]) == sorted(order) or len(set(size)) < 5
        np.testing.assert_allclose(picked.utility, -(p.max(axis=1) - p.min(axis=1))[picked.ids], rtol=1e-12)
        labelled = np.sort(np.append(labelled, picked.ids))


def test_with_singletons_and_no_oversampling_it_is_margin():
    strategy = ClusterMargin(mean_size=1.0, oversampling=1.0)
    for kind in ("generic", "ties", "zeros"):
        picked = choose(strategy, fake_evidence(strategy, kind=kind), 9, Seed(0).key())
        plain = choose(Margin(), fake_evidence(Margin(), kind=kind), 9, Seed(0).key())
        assert set(picked.ids) == set(plain.ids)
        assert sorted(picked.utility) == sorted(plain.utility)


def test_M3_margins_decide():
    x, _ = blobs([40] * 6)
    rng = np.random.default_rng(0)
    picks = [
        set(choose(ClusterMargin(mean_size=9.0), evidence(x, two_class(rng.random(240))), 8, Seed(0).key()).ids)
        for _ in "ab"
    ]
    assert len(picks[0] & picks[1]) < 6


def test_one_cluster_is_a_random_draw_from_the_small_margins():
    x, p = np.ones((60, 3), np.float32), two_class(np.linspace(0, 1, 60))
    drawn = np.zeros(60)
    for seed in range(300):
        drawn[choose(ClusterMargin(oversampling=4.0), evidence(x, p), 2, Seed(seed).key()).ids] += 1
    assert drawn[8:].sum() == 0
    assert drawn[:8].min() > 40


def test_clusters_of_one_size_take_turns_at_random():
    x, group = blobs([10, 10, 10])
    first = [
        group[choose(ClusterMargin(threshold=0.5), evidence(x, two_class(np.zeros(30))), 1, Seed(s).key()).ids[0]]
        for s in range(90)
    ]
    assert np.bincount(first).min() > 15


def test_the_clustering_is_the_same_in_every_round(monkeypatch):
    found = []

    def spy(x, tie, **settings):
        found.append((average_linkage(x, tie, **settings).label_N, settings))
        return average_linkage(x, tie, **settings)

    monkeypatch.setattr("querist.strategies.cluster_margin.average_linkage", spy)
    # Half of all distances tie, so that the hashes matter.
    x = np.random.default_rng(0).integers(-1, 2, size=(80, 3)).astype(np.float32)
    p = two_class(np.random.default_rng(1).random(80))
    for turn in range(3):
        ev = evidence(x, p, np.arange(5 * turn))
        choose(ClusterMargin(mean_size=4.0), ev, 5, Seed(0).child("round", turn, "select").key())
    choose(ClusterMargin(mean_size=4.0), evidence(x, p), 5, Seed(1).child("round", 0, "select").key())
    labels = [label.tolist() for label, _ in found]
    assert labels[0] == labels[1] == labels[2] != labels[3]
    assert found[0][1] == {"k": 20}


def test_embeddings_where_the_learner_has_them():
    state = State(round=1, n_labelled=5, has_model=True)
    assert ClusterMargin(space="embeddings").needs_at(state) == (Probs(), Embeddings(frame="all"))
    assert ClusterMargin(space="features").needs_at(state) == (Probs(), Features(frame="all"))


def test_C18_every_setting_matters():
    rng = np.random.default_rng(0)
    x, p = rng.normal(size=(300, 5)).astype(np.float32), two_class(rng.random(300))
    base = {"mean_size": 10.0}
    settings = (base, {**base, "oversampling": 3.0}, {"mean_size": 30.0}, {"threshold": 0.2}, {"threshold": 0.9})
    picks = [tuple(choose(ClusterMargin(**s), evidence(x, p), 15, Seed(0).key()).ids) for s in settings]
    assert len(set(picks)) == len(settings)
    for wrong in ({"oversampling": 0.9}, {"mean_size": 0.5}, {"threshold": 0.0}, {"mean_size": float("inf")}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            ClusterMargin(**wrong)


def test_C19_the_default_is_the_only_clustering_whose_size_is_known():
    assert strategies.build({"name": "cluster_margin", "preset": "S4"}) == ClusterMargin()
    assert ClusterMargin() == ClusterMargin(oversampling=10.0, mean_size=1.25, threshold=None)


def test_a_row_that_is_torn_is_not_minus_zero_apart():
    assert ClusterMargin().reason(0.0).startswith("its two most likely classes are 0.000 apart")
