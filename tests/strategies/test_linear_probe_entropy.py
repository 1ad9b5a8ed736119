"""Entropy of a fresh linear head on frozen features."""

import numpy as np
import pytest
from scipy.special import xlogy

import querist
from querist.errors import SpecError, UnmetNeedError, UsageError
from querist.evidence.needs import Features, Labels
from querist.learners.linear import Linear
from querist.seeds import Seed
from querist.session.session import Session
from querist.strategies.base import State, choose
from querist.strategies.linear_probe_entropy import LinearProbeEntropy
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset, fake_evidence


class TestLinearProbeEntropy(StrategyContract):
    make = LinearProbeEntropy
    cold = False


def test_is_the_entropy_of_a_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    ev = fake_evidence(LinearProbeEntropy(penalty=3.0), labelled=30)
    head = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000)
    head.fit(ev[Features(frame="labelled")].astype(np.float64), ev[Labels()])
    p = head.predict_proba(ev[Features()].astype(np.float64))
    picked = choose(LinearProbeEntropy(penalty=3.0), ev, 60, Seed(0).key())
    score = -xlogy(p, p).sum(axis=1)
    assert picked.utility == pytest.approx(score[np.searchsorted(ev.candidates, picked.ids)], abs=1e-4)
    assert picked.utility.tolist() == sorted(picked.utility, reverse=True)


def rounds(strategy, learner, count=3):
    """Return what a session asks for, round by round, and how sure each pick was."""
    session = Session(fake_dataset(n=200, c=4), learner=learner, strategy=strategy, initial="random", seed=5)
    asked = []
    for _ in range(count):
        query = session.ask(8)
        asked.append((query.ids.tolist(), session.book.asked[-1].utility))
        session.tell({i: i % 4 for i in query.ids.tolist()})
    return asked


@pytest.mark.parametrize("penalty", [1.0, 20.0])
def test_Q12_equals_entropy_under_the_learner_with_the_same_penalty(penalty):
    probe = rounds(LinearProbeEntropy(penalty=penalty), "prototype")
    assert probe == rounds(LinearProbeEntropy(penalty=penalty), "knn")  # whatever the learner
    model = rounds("entropy", Linear(C=penalty))
    for (ids, utility), (other_ids, other) in zip(probe[1:], model[1:], strict=True):
        assert ids == other_ids
        assert utility == other


def test_needs_labels_and_no_model():
    x = np.random.default_rng(0).normal(size=(30, 4))
    picked = querist.select("linear_probe_entropy", 5, features=x, labelled=[0, 1, 2], labels=[0, 1, 1], classes=3)
    assert len(picked.ids) == 5
    with pytest.raises(UnmetNeedError, match="no model before the first labels"):
        Session(fake_dataset(), strategy="linear_probe_entropy", initial="linear_probe_entropy")
    session = Session(fake_dataset(), strategy="linear_probe_entropy")
    assert session.initial.card.name == "random"
    with pytest.raises(UsageError, match=r"there are none\. Label some first"):
        LinearProbeEntropy().score(fake_evidence(LinearProbeEntropy().needs, labelled=0))
    assert LinearProbeEntropy().needs_at(State(n_labelled=1)) == LinearProbeEntropy.needs


def test_a_class_without_labels_counts_for_nothing_and_one_class_for_all():
    ev = fake_evidence(LinearProbeEntropy(), kind="one_class")
    assert not choose(LinearProbeEntropy(), ev, 60, Seed(0).key()).utility.any()


def test_C18_settings():
    ev = fake_evidence(LinearProbeEntropy(), labelled=20)
    loose, tight = (LinearProbeEntropy(penalty=penalty).score(ev) for penalty in (100.0, 0.1))
    assert loose.mean() < tight.mean()
    with pytest.raises(SpecError, match="penalty to be positive"):
        LinearProbeEntropy(penalty=0.0)
