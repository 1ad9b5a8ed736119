"""Propagation on frozen features: one solve over labelled rows and candidates, and rows outside the graph."""

import numpy as np
import pytest

from querist.data.dataset import datasets
from querist.errors import SpecError
from querist.evidence.features import unit_rows
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.learners.base import learners
from querist.learners.linear import Linear
from querist.learners.propagated import Propagation
from querist.seeds import Seed
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset, fake_view


class TestPropagation(LearnerContract):
    make = Propagation


class TestSum(LearnerContract):
    @staticmethod
    def make():
        return Propagation(pooling="sum", k=20, gamma=1.0, alpha=0.5)


@pytest.fixture
def data():
    """Items i of class i modulo 5, labels poisoned."""
    return fake_dataset(n=60, c=5, d=6, seed=2, poisoned=True)


def fitted(data, ids, pool=None, **settings):
    """The model of some labelled rows and a pool."""
    pool = np.setdiff1d(data.pool, ids) if pool is None else pool
    return Propagation(**settings).fit(Fit(fake_view(data, ids, ids % 5), fake_view(data, pool), Seed(0)))


def test_equals_dense_algebra_inside_and_outside_the_graph(data):
    k, gamma, alpha = 6, 2.0, 0.8
    labelled = data.pool[::4]
    model = fitted(data, labelled, k=k, gamma=gamma, alpha=alpha, steps=400)
    x = unit_rows(data.items[np.arange(60)]).astype(np.float64)
    inside, outside = data.pool, data.test
    w = np.zeros((len(inside), len(inside)))
    for i, a in enumerate(inside):
        others = sorted((j for j in range(len(inside)) if j != i), key=lambda j: -x[a] @ x[inside[j]])
        for j in others[:k]:
            w[i, j] = max(0, x[a] @ x[inside[j]]) ** gamma
    w += w.T
    root = np.sqrt(w.sum(axis=1))
    s = w / root[:, None] / root
    y = np.zeros((len(inside), 5))
    for i, a in enumerate(inside):
        if a in labelled:
            y[i, a % 5] = 1 / (labelled % 5 == a % 5).sum()
    z = np.linalg.solve(np.eye(len(s)) - alpha * s, y)
    p = z / z.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.provide(Probs(), fake_view(data, inside)), p, atol=1e-5)
    for a in outside:
        near = sorted(range(len(inside)), key=lambda j: -x[a] @ x[inside[j]])[:k]
        mean = sum(max(0, x[a] @ x[inside[j]]) ** gamma * p[j] for j in near)
        found = model.provide(Probs(), fake_view(data, np.array([a])))[0]
        np.testing.assert_allclose(found, mean / mean.sum(), atol=1e-5)


def test_only_rows_of_the_job_are_in_the_graph(data):
    """A candidate more or less changes the probabilities of others: it is transductive, and that is the point."""
    labelled = data.pool[:10]
    whole = fitted(data, labelled)
    fewer = fitted(data, labelled, pool=data.pool[10:30])
    view = fake_view(data, data.pool[10:30])
    assert np.abs(whole.provide(Probs(), view) - fewer.provide(Probs(), view)).max() > 1e-3


def test_rows_of_the_pool_that_are_labelled_too_are_one_row(data):
    """A pool that overlaps the labels, and labels that are drawn twice, as resampling gives them."""
    labelled = data.pool[:10]
    apart = fitted(data, labelled)
    both = fitted(data, labelled, pool=data.pool)
    view = fake_view(data, data.pool)
    np.testing.assert_array_equal(apart.provide(Probs(), view), both.provide(Probs(), view))
    twice = fitted(data, np.repeat(labelled, 2), pool=data.pool)
    np.testing.assert_allclose(twice.provide(Probs(), view), both.provide(Probs(), view), atol=1e-12)


def test_a_row_no_label_reaches_is_anybodys(data):
    model = fitted(data, data.pool[:1], pool=data.pool[:0])
    x = -unit_rows(data.items[data.pool[:1]])
    np.testing.assert_array_equal(model.probs(x), np.full((1, 5), 0.2))
    assert model.provide(Probs(), fake_view(data, data.pool[:1])).tolist() == [np.eye(5)[data.pool[0] % 5].tolist()]


def test_a_few_labels_of_digits_go_further_than_in_a_linear_head():
    whole = datasets.build("digits")
    y = np.asarray(whole.labels.unseal())
    pool = whole.pool[:700]
    labelled = np.sort([pool[y[pool] == k][0] for k in range(10)])
    job = Fit(fake_view(whole, labelled, y[labelled]), fake_view(whole, np.setdiff1d(pool, labelled)), Seed(0))
    test = fake_view(whole, whole.test)
    right = {
        learner.card.name: (learner.fit(job).provide(Probs(), test).argmax(axis=1) == y[whole.test]).mean()
        for learner in (Propagation(), Linear())
    }
    assert right["propagation"] > right["linear"] + 0.1


def test_preset_and_mistakes():
    assert learners.build({"name": "propagation", "preset": "s1"}).alpha == 0.99
    for settings in ({"alpha": 1.0}, {"k": 0}, {"gamma": -1.0}, {"steps": 0}, {"pooling": "max"}):
        with pytest.raises(SpecError):
            learners.build({"name": "propagation", **settings})


def test_rows_outside_the_graph_hear_nothing_of_rows_that_no_label_reaches(data):
    """At alpha 0 labels do not spread, so only labelled rows have something to say."""
    labelled = data.pool[:6]
    model = fitted(data, labelled, alpha=0.0, k=100, gamma=2.0)
    x = unit_rows(data.items[np.arange(60)]).astype(np.float64)
    weight = np.maximum(x[data.test] @ x[labelled].T, 0) ** 2
    votes = weight @ np.eye(5)[labelled % 5]
    told = votes.sum(axis=1) > 0
    found = model.provide(Probs(), fake_view(data, data.test))
    np.testing.assert_allclose(found[told], votes[told] / votes[told].sum(axis=1, keepdims=True), atol=1e-5)
    assert told.any()
