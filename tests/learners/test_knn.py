"""The k-NN learner against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from querist.errors import SpecError
from querist.evidence.features import unit_rows
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.learners.knn import KNN
from querist.seeds import Seed
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset, fake_view


class TestKNN(LearnerContract):
    make = KNN


class TestOneNeighbour(LearnerContract):
    @staticmethod
    def make():
        return KNN(k=1)


def counted(x, labelled, y, k, c):
    """Votes row by row, nearest first, smaller position first among equals."""
    rows = []
    for row in x:
        similar = [float(np.dot(row.astype(float), other.astype(float))) for other in labelled]
        order = sorted(range(len(y)), key=lambda i: (-similar[i], i))[:k]
        votes = np.zeros(c)
        for i in order:
            votes[y[i]] += 1 + 0.001 * (1 + similar[i]) / 2
        rows.append(votes / votes.sum())
    return np.array(rows)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 9))
def test_equals_counting_by_hand(seed, l, k):
    data = fake_dataset(n=60, c=4, d=3, seed=seed)
    ids = np.sort(Seed(seed).generator().choice(data.pool, l, replace=False))
    model = KNN(k=k).fit(Fit(fake_view(data, ids, ids % 4), fake_view(data, data.pool), Seed(0)))
    probs = model.provide(Probs(), fake_view(data, np.arange(60)))
    x = unit_rows(data.items[np.arange(60)])
    np.testing.assert_allclose(probs, counted(x, x[ids], ids % 4, min(k, l), 4), atol=1e-9)


def test_equal_votes_go_to_the_more_similar_class():
    data = fake_dataset(n=30, c=3, d=4, seed=1)
    ids = np.array([0, 1])  # one label of class 0, one of class 1
    model = KNN(k=2).fit(Fit(fake_view(data, ids, ids % 3), fake_view(data, data.pool), Seed(0)))
    x = unit_rows(data.items[np.arange(30)])
    nearer = (x @ x[ids].T).argmax(axis=1)
    probs = model.provide(Probs(), fake_view(data, np.arange(30)))
    assert (probs.argmax(axis=1) == nearer).all()
    assert (np.abs(probs[:, :2] - 0.5) < 1e-3).all()
    assert (probs[:, 2] == 0).all()


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(k):
    with pytest.raises(SpecError, match="at least 1"):
        KNN(k=k)
