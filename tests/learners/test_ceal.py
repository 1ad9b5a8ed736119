"""CEAL: its threshold, whose labels the guesses are, that they are trained on, and that nothing of them stays."""

from dataclasses import dataclass

import numpy as np
import pytest

from querist.arrays import Array
from querist.errors import SpecError
from querist.evidence.needs import Probs
from querist.evidence.provider import Fit
from querist.evidence.view import View
from querist.labels.oracle import SimulatedOracle
from querist.learners.base import learners
from querist.learners.ceal import Ceal
from querist.learners.linear import Linear
from querist.learners.tuned import TunedLearner
from querist.seeds import Seed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.testing.contract import LearnerContract
from querist.testing.fakes import FakeLearner, fake_dataset, fake_view


class TestCeal(LearnerContract):
    @staticmethod
    def make():
        return Ceal(delta=0.3)


@pytest.fixture
def data():
    """Items i of class i modulo 3, labels poisoned."""
    return fake_dataset(n=90, c=3, d=6, seed=2, poisoned=True)


def job(data, ids, t=0):
    pool = np.setdiff1d(data.pool, ids)
    return Fit(fake_view(data, ids, ids % 3), fake_view(data, pool), Seed(0), round=t)


@dataclass(frozen=True, kw_only=True)
class Known(FakeLearner):
    """A base whose confidence and guesses are known: item i is of class ``(i + shift) % 3``, sure if i is a multiple of
    `sure`. It keeps the jobs it was given."""

    jobs: list
    sure: int = 4
    shift: int = 1

    def fit(self, job):
        self.jobs.append(job)
        return Answers(self.sure, self.shift)


@dataclass(frozen=True)
class Answers:
    sure: int
    shift: int

    def provide(self, need, view):
        rest = np.where(view.ids % self.sure == 0, 0.001, 0.2)
        p: Array = np.repeat(rest[:, None], 3, axis=1)
        p[np.arange(len(p)), (view.ids + self.shift) % 3] = 1 - 2 * rest
        return p


@pytest.mark.parametrize(
    ("preset", "t0", "t1", "t10"),
    [
        ("s1", 0.1, 0.1 - 0.00033, 0.1 - 0.0033),
        ("deepal-plus", 5e-5, 5e-5 - 3.3e-7, 5e-5 - 3.3e-6),
    ],
)
def test_M9_T7_the_threshold_falls_along_a_line_and_stops_at_zero(preset, t0, t1, t10):
    learner = learners.build({"name": "ceal", "preset": preset})
    asked = [learner.threshold(t) for t in (0, 10, 1, 10, 0, 10_000)]  # asking again changes nothing
    np.testing.assert_allclose(asked, [t0, t10, t1, t10, t0, 0.0], rtol=1e-12)


def test_M10_T7_guesses_reach_the_training_with_the_class_of_their_own_row(data):
    """Labels are those of the same ids, whatever their place in the pool; the training set grows by their number."""
    jobs, labelled = [], data.pool[5:12]
    Ceal(base=Known(jobs=jobs)).fit(job(data, labelled, t=3))
    first, second = jobs
    sure = first.pool.ids[first.pool.ids % 4 == 0]
    assert len(sure) > 5
    assert second.labelled.ids.tolist() == sorted([*labelled, *sure])
    expected = [i % 3 if i in labelled else (i + 1) % 3 for i in second.labelled.ids]
    assert second.labelled.labels.tolist() == expected
    assert second.pool.ids.tolist() == [i for i in first.pool.ids if i not in sure]
    assert not second.pool.is_labelled
    assert (second.seed, second.round) == (first.seed, 3)
    np.testing.assert_array_equal(second.labelled.items(), data.items[second.labelled.ids])


def test_entropies_are_compared_as_they_are_declared(data):
    """0.2, 0.2, 0.6 has an entropy of 0.950 nats, 0.865 of log 3."""
    for normalised, delta, number in ((True, 0.86, 1), (True, 0.87, 2), (False, 0.94, 1), (False, 0.96, 2)):
        jobs = []
        Ceal(base=Known(jobs=jobs, sure=1000), delta=delta, rate=0, normalised=normalised).fit(
            job(data, data.pool[1:9])
        )
        grown = len(jobs[-1].labelled) > 9
        assert grown == (number == 2)


@pytest.mark.parametrize("settings", [{"delta": 0.0}, {"delta": 0.1, "rate": 0.1}, {"delta": 1e-12, "rate": 0.0}])
def test_T7_no_threshold_leaves_training_unchanged(data, settings):
    one = job(data, data.pool[:12], t=1)
    plain, wrapped = Linear().fit(one), Ceal(**settings).fit(one)
    view = fake_view(data, np.arange(90))
    np.testing.assert_array_equal(plain.provide(Probs(), view), wrapped.provide(Probs(), view))
    np.testing.assert_array_equal(plain.head.coef, wrapped.head.coef)


def test_equals_the_base_on_labels_and_guesses(data):
    one = job(data, data.pool[:12])
    first = Linear().fit(one)
    p = first.provide(Probs(), one.pool)
    h = -(p * np.log(p)).sum(axis=1) / np.log(3)
    sure = h < 0.4
    assert 3 < sure.sum() < len(p)
    ids = np.concatenate([data.pool[:12], one.pool.ids[sure]])
    y = np.concatenate([data.pool[:12] % 3, p.argmax(axis=1)[sure]])
    order = np.argsort(ids)
    twin = Linear().fit_rows(fake_view(data, ids[order])[Linear().features], y[order], one)
    found = Ceal(delta=0.4, rate=0.0).fit(one)
    np.testing.assert_array_equal(found.head.coef, twin.head.coef)
    assert np.abs(found.head.coef - first.head.coef).max() > 1e-3


def test_T7_guesses_are_dropped_before_the_query_and_never_in_the_ledger():
    """Rows that were guessed stay candidates; each round is told its number; labels and money are those of the base."""
    data = fake_dataset(n=90, c=3, d=6, seed=2)
    jobs = []
    session = Session(Setting(data), learner=Ceal(base=Known(jobs=jobs, sure=2)), strategy="margin", initial="random")
    oracle = SimulatedOracle(data.labels, data.pool)
    for t in range(4):
        assert len(session.book.labels) == len(session.book.charged) == 6 * t
        session.tell(oracle.answer(session.ask(6)))
    firsts, seconds = jobs[::2], jobs[1::2]
    assert [one.round for one in firsts] == [0, 1, 2]
    for t, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        assert len(first.labelled) == 6 * (t + 1) < len(second.labelled)
        assert sorted([*first.labelled.ids, *first.pool.ids]) == data.pool.tolist()
    assert len(session.book.labels) == 24


def test_the_base_says_what_it_is():
    ceal = Ceal(base=Linear(C=3.0))
    assert not ceal.trains_backbone
    assert not ceal.keeps
    assert not ceal.seeded
    assert learners.build({"name": "ceal", "base": "scratch"}).trains_backbone
    assert ceal.identity()["base"]["C"] == 3.0
    with pytest.raises(SpecError, match="Tune the whole"):
        Ceal(base=TunedLearner())
    for settings in ({"delta": -0.1}, {"rate": -1.0}):
        with pytest.raises(SpecError):
            Ceal(**settings)


@pytest.mark.deep
@pytest.mark.usefixtures("deep")
def test_T7_around_a_net(data, pictured, weights, tmp_path):
    from querist.learners.scratch import Scratch

    tiny = Scratch(updates=30, batch=16, lr=0.05, crop=0.0, flip=False)
    pictures = pictured(fake_dataset(n=90, c=3, shape=(8, 8), poisoned=True))
    ids = pictures.pool[:15]
    one = Fit(View(pictures, ids, labels=ids % 3), View(pictures, np.setdiff1d(pictures.pool, ids)), Seed(0))
    assert weights(Ceal(base=tiny, delta=0.0).fit(one)) == weights(tiny.fit(one))
    learner = Ceal(base=tiny, delta=0.5)
    model = learner.fit(one)
    assert weights(model) == weights(learner.fit(one)) != weights(tiny.fit(one))
    learner.save(model, tmp_path / "kept")
    assert weights(learner.load(tmp_path / "kept")) == weights(model)
