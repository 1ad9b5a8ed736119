"""Probes of features: against plain computations, who reads which labels, and monitors that read the pool alone."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from querist.arrays import SealedArray
from querist.data.memory import from_arrays
from querist.encoders.pixels import Pixels
from querist.errors import LeakError
from querist.session import probes
from querist.session.probes import are_probed, knn_monitor, probe

READERS = ("oracle.py", "evaluator.py")


class Watched(SealedArray):
    """Labels that only the oracle and the evaluator may open."""

    def unseal(self):
        if Path(sys._getframe(1).f_code.co_filename).name not in READERS:
            raise LeakError("labels were unsealed by somebody else")
        return super().unseal()


def clouds(n=300, c=3, test=True, noise=1.0):
    """Unit-scale clouds around three axes; a third of them test items."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % c
    x = (4 * np.eye(5)[y] + noise * rng.normal(size=(n, 5))).astype(np.float32)
    split = np.where(rng.random(n) < (0.3 if test else 0), "test", "pool")
    data = from_arrays("clouds", x, y, split=split)
    return dataclasses.replace(data, labels=Watched(y)), x, y


@pytest.mark.parametrize("test", [True, False])
def test_good_features_are_told_from_bad_ones_with_and_without_a_test_split(test):
    good, bad = (probe(clouds(test=test, noise=noise)[0], Pixels()) for noise in (0.5, 30.0))
    assert set(good) == {"knn", "linear", "mlp", "kmeans", "nmi", "ari"}
    assert min(good.values()) > 0.95
    assert max(bad[name] for name in ("knn", "linear", "mlp", "kmeans")) < 0.6
    assert abs(bad["ari"]) < 0.1


def test_knn_is_that_of_scikit_learn():
    data, x, y = clouds(noise=3.0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    plain = KNeighborsClassifier(20).fit(unit[data.pool], y[data.pool]).score(unit[data.test], y[data.test])
    assert probe(data, Pixels())["knn"] == pytest.approx(plain, abs=0.02)  # ties of votes are decided otherwise


class TestMonitor:
    def embed(self, seen):
        def embeddings(view):
            seen.append(view.ids)
            return np.asarray(view.items(), np.float32)

        return embeddings

    def test_looks_at_pool_items_only_and_never_asks_whom_it_votes_on(self):
        data, _, _ = clouds()
        seen: list[np.ndarray] = []
        found = knn_monitor(data, 10, every=3)(3, self.embed(seen))
        assert found["knn"] > 0.9
        bank, asked = seen
        assert not np.intersect1d(bank, asked).size
        assert np.isin(np.concatenate(seen), data.pool).all()

    def test_looks_after_the_first_the_last_and_every_third_epoch(self):
        data, _, _ = clouds()
        look = knn_monitor(data, 10, every=3)
        assert [epoch for epoch in range(1, 11) if look(epoch, self.embed([]))] == [1, 3, 6, 9, 10]

    def test_is_the_same_for_the_same_seed_and_within_its_bounds(self, monkeypatch):
        monkeypatch.setattr(probes, "BANK", 50)
        monkeypatch.setattr(probes, "ASKED", 20)
        data, _, _ = clouds(noise=3.0)
        seen: list[np.ndarray] = []
        first, again, _ = (knn_monitor(data, 1, every=1, seed=seed)(1, self.embed(seen)) for seed in (0, 0, 1))
        assert first == again
        assert [len(ids) for ids in seen] == [50, 20] * 3
        assert not np.array_equal(seen[0], seen[4])


def test_what_has_no_labels_is_not_probed():
    data, _, y = clouds()
    assert are_probed(data)
    for missing in (data.pool[:1], data.test[-1:], data.pool):
        hidden = y.copy()
        hidden[missing] = -1
        assert not are_probed(dataclasses.replace(data, labels=SealedArray(hidden)))
