"""Laplace draws of frozen features: one function of all rows, the prior of the base, unseen classes, sessions."""

import numpy as np
import pytest

from querist.errors import SpecError
from querist.evidence.needs import Draws, Features, Gradients, Head, Logits, Probs
from querist.evidence.provider import Fit, Offer
from querist.kernels.inner import softmax
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.learners.knn import KNN
from querist.learners.laplace import Laplace
from querist.learners.linear import Linear
from querist.learners.mlp import MLP
from querist.learners.scratch import Scratch
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset, fake_view

DATA = fake_dataset(n=120, c=4, d=5)


class TestLaplace(LearnerContract):
    make = Laplace


class TestLaplaceOfMLP(LearnerContract):
    make = staticmethod(lambda: Laplace(base=MLP(updates=60, hidden=16, lr=0.01)))


def job(ids=None, seed=0):
    ids = DATA.pool[:30] if ids is None else ids
    return Fit(fake_view(DATA, ids, ids % 4), fake_view(DATA, np.setdiff1d(DATA.pool, ids)), Seed(seed))


def test_draws_are_heads_of_the_gaussian_and_everything_else_is_the_base():
    model, base = Laplace(base=Linear(C=2.0)).fit(job()), Linear(C=2.0).fit(job())
    view = fake_view(DATA, DATA.test)
    for need in (Probs(), Logits()):
        assert np.array_equal(model.provide(need, view), base.provide(need, view))
    x = np.asarray(view[Features()], np.float64)
    assert np.array_equal(model.provide(Head(), view)(x), base.provide(Head(), view)(x))
    np.testing.assert_array_equal(model.around.mean, np.column_stack([base.head.coef, base.head.intercept]))
    for j, draw in enumerate(model.provide(Draws(k=3), view)):
        w = model.around.at(Seed(0).child("draws", j).generator().standard_normal((4, 6)))
        np.testing.assert_allclose(draw, softmax(x @ w[:, :-1].T + w[:, -1]), atol=1e-6)


@pytest.mark.parametrize("C", [0.5, 20.0])
def test_the_gaussian_is_centred_where_its_own_gradient_vanishes(C):
    """At the optimum of ``sum of cross-entropies + precision |W|^2 / 2`` the slope is 0: so the prior is that of C."""
    model = Laplace(base=Linear(C=C)).fit(job())
    residual, x = model.base.provide(Gradients(frame="labelled"), job().labelled)
    slope = residual.T @ x + model.base.head.coef / C
    assert np.abs(slope).max() < 1e-4 * max(1, 1 / C)
    u = np.column_stack([x, np.ones(30)])
    p = model.base.provide(Probs(), job().labelled)
    expected = sum(np.kron(np.diag(q) - np.outer(q, q), np.outer(v, v)) for q, v in zip(p, u, strict=True))
    np.testing.assert_allclose(
        model.around.whole.T @ model.around.whole, expected + np.eye(24) / C, rtol=1e-6, atol=1e-9
    )


def test_two_classes_have_the_prior_that_they_are_fitted_with():
    ids = DATA.pool[DATA.pool % 4 < 2][:12]
    model = Laplace(base=Linear(C=3.0)).fit(job(ids))
    residual, x = model.base.provide(Gradients(frame="labelled"), job(ids).labelled)
    slope = residual.T @ x + model.base.head.coef * 2 / 3.0
    assert np.abs(slope[:2]).max() < 1e-4
    assert model.around.mean.shape == (2, 6)
    u, p = np.column_stack([x, np.ones(12)]), model.base.provide(Probs(), job(ids).labelled)[:, :2]
    data = sum(np.kron(np.diag(q) - np.outer(q, q), np.outer(v, v)) for q, v in zip(p, u, strict=True))
    np.testing.assert_allclose(model.around.whole.T @ model.around.whole, data + np.eye(12) * 2 / 3.0, atol=1e-9)


def test_a_class_without_labels_has_probability_0_in_every_draw():
    for classes in ((0, 2, 3), (1,)):
        ids = DATA.pool[np.isin(DATA.pool % 4, classes)][:15]
        draws = np.stack(Laplace().fit(job(ids)).provide(Draws(k=5), fake_view(DATA, DATA.test)))
        assert (draws[:, :, [c for c in range(4) if c not in classes]] == 0).all()
        np.testing.assert_allclose(draws.sum(axis=2), 1, atol=1e-6)


def test_a_draw_is_one_function_of_all_rows_and_more_change_none():
    model = Laplace().fit(job())
    whole = np.stack(model.provide(Draws(k=4, coherent=True), fake_view(DATA, DATA.pool)))
    order = np.random.default_rng(0).permutation(len(DATA.pool))
    permuted = np.stack(model.provide(Draws(k=4), fake_view(DATA, DATA.pool[order])))
    assert np.array_equal(permuted, whole[:, order])
    assert np.array_equal(np.stack(model.provide(Draws(k=7), fake_view(DATA, DATA.pool)))[:4], whole)
    other = Laplace().fit(job(seed=1))
    assert not np.array_equal(np.stack(other.provide(Draws(k=4), fake_view(DATA, DATA.pool))), whole)


def test_fewer_labels_spread_more():
    def spread(ids):
        return np.stack(Laplace().fit(job(ids)).provide(Draws(k=100), fake_view(DATA, DATA.test))).std(axis=0).mean()

    assert spread(DATA.pool[:8]) > 1.2 * spread(DATA.pool[:80])


def test_other_bases_are_refused_with_what_to_do():
    with pytest.raises(SpecError, match=r"got 'knn': it has no linear last layer"):
        Laplace(base=KNN())
    with pytest.raises(SpecError, match=r"got 'scratch': set draws = 'laplace' in it"):
        Laplace(base=Scratch())
    with pytest.raises(SpecError, match="set weight_decay above 0"):
        learners.build("laplace(mlp(weight_decay=0.0))")
    assert learners.build("laplace(linear(C=2.0))") == Laplace(base=Linear(C=2.0))
    assert isinstance(Laplace().offers(Draws(k=50, coherent=True)), Offer)


@pytest.mark.parametrize("name", ["bald", "batch_bald", "mean_std"])
def test_strategies_on_draws_run_end_to_end(name):
    strategy = {"name": name, "k": 6, **({"samples": 300} if name == "batch_bald" else {})}
    session = Session(Setting(DATA), learner="laplace", strategy=strategy, initial="random", seed=0)
    oracle = SimulatedOracle(DATA.labels, DATA.pool)
    for _ in range(3):
        session.tell(oracle.answer(session.ask(6)))
    assert session.conclude()["accuracy"] > 0.8
