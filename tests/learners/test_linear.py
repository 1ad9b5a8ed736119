"""The linear learner: what it offers, what its outputs are to one another, and that it reads bought labels only."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from querist.errors import DataError, LeakError, NeedError, SpecError, UnmetNeedError
from querist.evidence.features import unit_rows
from querist.evidence.needs import Features, Gradients, Head, Logits, Probs
from querist.evidence.provider import Fit, Offer
from querist.kernels.centring import principal_rows
from querist.kernels.inner import scores, softmax
from querist.kernels.logistic import fit_logistic
from querist.learners.base import learners
from querist.learners.knn import KNN
from querist.learners.linear import Linear
from querist.registry import describe
from querist.seeds import Seed
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import NEEDS, fake_dataset, fake_view


class TestLinear(LearnerContract):
    make = Linear


class TestOtherEncoder(LearnerContract):
    encoder = "other"

    @staticmethod
    def make():
        return Linear(encoder="other")


@pytest.fixture
def data():
    """Items i of class i modulo 5, labels poisoned."""
    return fake_dataset(n=120, c=5, d=6, seed=2, poisoned=True)


def fitted(data, ids, **settings):
    """The model of some labelled rows."""
    return Linear(**settings).fit(Fit(fake_view(data, ids, ids % 5), fake_view(data, data.pool), Seed(0)))


def everything(data):
    """A view of all rows."""
    return fake_view(data, np.arange(len(data.manifest)))


def test_equals_scikit_learn_on_unit_rows(data):
    ids = data.pool[:40]
    x = unit_rows(data.items[np.arange(120)]).astype(np.float64)
    twin = LogisticRegression(C=3.0, tol=1e-9, max_iter=10_000).fit(x[ids], ids % 5)
    p = fitted(data, ids, C=3.0).provide(Probs(), everything(data))
    assert p.dtype == np.float64
    np.testing.assert_allclose(p, twin.predict_proba(x), atol=1e-4)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-14)


def test_probabilities_have_the_same_bits_in_any_company(data):
    model = fitted(data, data.pool[:23])
    whole = model.provide(Probs(), everything(data))
    for ids in (data.pool, data.test, data.pool[3:4], data.pool[::7]):
        assert np.array_equal(model.provide(Probs(), fake_view(data, ids)), whole[ids])


@pytest.mark.parametrize("unseen", [(), (1,), (0, 2, 3)])
def test_probabilities_logits_and_head_agree(data, unseen):
    ids = data.pool[~np.isin(data.pool % 5, unseen)][:30]
    model, view = fitted(data, ids), everything(data)
    p, z, head = (model.provide(need, view) for need in (Probs(), Logits(), Head()))
    assert np.isfinite(z).all()
    np.testing.assert_allclose(softmax(z), p, rtol=1e-12)
    np.testing.assert_allclose(softmax(z.astype(np.float32)), p, atol=1e-6)
    assert (p[:, list(unseen)] == 0).all()
    np.testing.assert_array_equal(head(view[Features()]), z)


def test_gradients_are_those_of_the_loss(data):
    ids = data.pool[:30]
    model = fitted(data, ids)
    labelled = fake_view(data, ids)  # its labels are those of the fit, so the view needs none
    residual, embedding = model.provide(Gradients(frame="labelled"), labelled)
    np.testing.assert_array_equal(embedding, labelled[Features()])
    # Numerically: the loss of each row's true label, moved along each coefficient in turn.
    step = 1e-6
    for k in range(5):
        for j in range(6):
            nudge = np.zeros((5, 6))
            nudge[k, j] = step
            z = [labelled[Features()] @ (model.head.coef + s * nudge).T + model.head.intercept for s in (1, -1)]
            up, down = (-np.log(softmax(v)[np.arange(30), ids % 5]) for v in z)
            np.testing.assert_allclose((up - down) / (2 * step), residual[:, k] * embedding[:, j], atol=1e-6)


def test_gradients_take_the_likeliest_class_where_no_label_was_bought(data):
    ids = data.pool[:30]
    model, view = fitted(data, ids), everything(data)
    p = model.provide(Probs(), view)
    residual = model.provide(Gradients(frame="all"), view).residual
    label = p.argmax(axis=1)
    label[ids] = ids % 5
    np.testing.assert_array_equal(residual, p - np.eye(5)[label])


def test_the_optimum_balances_loss_and_penalty(data):
    ids = data.pool[:30]
    model = fitted(data, ids, C=7.0)
    residual, embedding = model.provide(Gradients(frame="labelled"), fake_view(data, ids))
    np.testing.assert_allclose(7.0 * residual.T @ embedding.astype(np.float64), -model.head.coef, atol=1e-5)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-6)


def test_fit_many_keeps_the_order_and_copies_no_features(data):
    jobs = [Fit(fake_view(data, ids, ids % 5), fake_view(data, data.pool), Seed(0))
            for ids in (data.pool[:9], data.pool[5:40], data.pool[:1])]  # fmt: skip
    learner = Linear()
    together = learner.fit_many(jobs)
    for job, model in zip(jobs, together, strict=True):
        alone = learner.fit(job)
        assert np.array_equal(model.head.coef, alone.head.coef)
        assert np.array_equal(model.head.intercept, alone.head.intercept)
        assert np.array_equal(model.ids, job.labelled.ids)
    view = everything(data)
    for model in together:
        assert np.shares_memory(model.provide(Gradients(), view).embedding, view[Features()])


def test_labels_of_the_pool_are_out_of_reach(data):
    with pytest.raises(LeakError):
        Linear().fit(Fit(fake_view(data, data.pool), fake_view(data, data.pool), Seed(0)))


def test_no_label_is_an_error(data):
    none = data.pool[:0]
    with pytest.raises(DataError, match="at least one label"):
        Linear().fit(Fit(fake_view(data, none, none), fake_view(data, data.pool), Seed(0)))


def test_features_of_another_encoder_are_asked_for_by_name(data):
    ids = data.pool[:10]
    with pytest.raises(NeedError, match="elsewhere"):
        Linear(encoder="elsewhere").fit(Fit(fake_view(data, ids, ids % 5), fake_view(data, data.pool), Seed(0)))


@pytest.mark.parametrize("need", NEEDS, ids=str)
@pytest.mark.parametrize("learner", [Linear(), KNN()], ids=["linear", "knn"])
def test_what_is_offered_is_provided_and_what_is_not_is_refused_with_the_same_words(data, learner, need):
    ids = data.pool[:20]
    model = learner.fit(Fit(fake_view(data, ids, ids % 5), fake_view(data, data.pool), Seed(0)))
    answer, view = learner.offers(need), fake_view(data, data.pool)
    if isinstance(answer, Offer):
        need.check(model.provide(need, view), view.ids, 5)
    else:
        assert answer.endswith(".")
        with pytest.raises(UnmetNeedError) as caught:
            model.provide(need, view)
        assert answer in str(caught.value)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("inf"), float("nan")])
def test_c_must_be_positive(wrong):
    with pytest.raises(SpecError, match="positive"):
        Linear(C=wrong)


def test_it_is_built_and_described_by_name():
    assert describe(learners.build({"name": "linear", "C": 5})) == {
        "name": "linear",
        "encoder": None,
        "C": 5.0,
        "components": None,
    }


def test_principal_components_take_the_place_of_rows():
    """The head on components is the plain head on a matrix of them, test rows included; drop_query's head it is not."""
    setting = Setting(fake_dataset(90, d=9))
    pool, y = setting.dataset.pool, setting.dataset.labels.unseal()
    bought, rest = pool[:30], np.concatenate([pool[30:], setting.dataset.test])
    job = Fit(labelled=setting.view(bought, y[bought]), pool=setting.view(rest), seed=Seed(0))
    turned = principal_rows(setting.features[Features(frame="all")], pool, 4)
    head = fit_logistic(turned[bought], y[bought], setting.dataset.c, 20.0)
    p = Linear(components=4).fit(job).provide(Probs(), setting.view(rest))
    np.testing.assert_array_equal(p, softmax(scores(turned[rest], head.coef) + head.intercept))
    assert "principal components" in str(Linear(components=4).offers(Head(space="features")))
    with pytest.raises(SpecError, match="components"):
        Linear(components=0)
