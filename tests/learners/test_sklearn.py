"""The scikit-learn adapter: names, not import paths; classes nobody labelled keep their columns."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB

from querist.errors import SpecError, UnknownNameError
from querist.evidence.features import unit_rows
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.learners.base import learners
from querist.learners.sklearn import Sklearn
from querist.registry import describe, digest
from querist.seeds import Seed
from querist.testing.contract import LearnerContract
from querist.testing.fakes import fake_dataset, fake_view


class TestGaussianNB(LearnerContract):
    @staticmethod
    def make():
        return Sklearn(classifier="GaussianNB")


def provided(learner, data, ids, seed=0):
    """Probabilities of all rows after fitting on some."""
    job = Fit(fake_view(data, ids, ids % data.c), fake_view(data, data.pool), Seed(seed))
    return learner.fit(job).provide(Probs(), fake_view(data, np.arange(len(data.manifest))))


def test_equals_the_classifier_itself_with_columns_of_unseen_classes_at_zero():
    data = fake_dataset(n=80, c=4, d=5, seed=0)
    ids = data.pool[data.pool % 4 != 1][:24]
    x = unit_rows(data.items[np.arange(80)])
    expected = np.zeros((80, 4))
    expected[:, [0, 2, 3]] = GaussianNB().fit(x[ids], ids % 4).predict_proba(x)
    np.testing.assert_allclose(provided(Sklearn(classifier="GaussianNB"), data, ids), expected, atol=1e-5)


def test_the_seed_of_the_session_is_the_random_state():
    data = fake_dataset(n=80, c=3, d=5, seed=0)
    ids = data.pool[:20]
    forest = Sklearn(classifier="RandomForestClassifier", params={"n_estimators": 5})
    x = unit_rows(data.items[np.arange(80)])
    same = RandomForestClassifier(n_estimators=5, random_state=Seed(7).integer()).fit(x[ids], ids % 3).predict_proba(x)
    np.testing.assert_array_equal(provided(forest, data, ids, seed=7), same)
    assert not np.array_equal(provided(forest, data, ids, seed=8), same)


def test_one_class_seen_has_probability_one():
    data = fake_dataset(n=60, c=3, d=4, seed=0)
    ids = data.pool[data.pool % 3 == 2][:5]
    probs = provided(Sklearn(classifier="LogisticRegression"), data, ids)
    assert (probs == [0.0, 0.0, 1.0]).all()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"classifier": "RandomForestClasifier"}, "Did you mean 'RandomForestClassifier'"),
        ({"classifier": "GaussianNB", "params": {"priorz": 1}}, "Did you mean 'priors'"),
    ],
)
def test_misspelt_names_are_suggested(spec, words):
    with pytest.raises(UnknownNameError, match=words):
        learners.build({"name": "sklearn", **spec})


@pytest.mark.parametrize(
    ("classifier", "words"), [("LinearSVC", "no probabilities"), ("VotingClassifier", "wraps another")]
)
def test_what_cannot_work_is_refused_when_it_is_built(classifier, words):
    with pytest.raises(SpecError, match=words):
        Sklearn(classifier=classifier)


def test_settings_are_part_of_the_description():
    plain, deep = (Sklearn(classifier="RandomForestClassifier", params=p) for p in ({}, {"max_depth": 3}))
    assert digest(describe(plain)) != digest(describe(deep))
    assert learners.build(describe(deep)) == deep
