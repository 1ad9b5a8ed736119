"""Probabilistic core-set."""

import numpy as np
import pytest

import querist
from querist.errors import DataError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import Probs
from querist.seeds import Seed
from querist.session.session import Session
from querist.strategies.base import State, choose, strategies
from querist.strategies.composition import flags_of
from querist.strategies.pcoreset import PCoreSet
from querist.testing.contract import StrategyContract
from querist.testing.fakes import fake_dataset


class TestPCoreSet(StrategyContract):
    make = PCoreSet


class TestWithATeacher(StrategyContract):
    @pytest.fixture(autouse=True)
    def teacher(self, tmp_path):
        self.path = tmp_path / "teacher.npy"
        np.save(self.path, np.random.default_rng(0).dirichlet(np.ones(4), size=150_000))

    def make(self):
        return PCoreSet(teacher=str(self.path))

    def evidence(self, strategy, **settings):
        # The teacher of these tests knows four classes and is a generic one, whatever the world.
        kept = {key: value for key, value in settings.items() if key not in ("c", "kind", "dtype")}
        return super().evidence(strategy, **kept)

    symmetric = False


@pytest.fixture
def p():
    return np.random.default_rng(0).dirichlet(np.full(3, 0.5), size=60)


@pytest.mark.parametrize("labelled", [[], [4, 17]])
def test_equals_k_center_greedy_on_the_same_vectors(p, labelled):
    known = {"labelled": labelled, "labels": [0] * len(labelled)}
    one = querist.select("pcoreset", 12, probs=p, **known)
    other = querist.select("k_center_greedy(space=features)", 12, features=p, classes=3, **known)
    assert one.ids.tolist() == other.ids.tolist()
    assert one.utility == pytest.approx(other.utility)


def test_a_stored_teacher_needs_neither_labels_nor_a_model(p, tmp_path):
    path = tmp_path / "teacher.npy"
    np.save(path, p)
    strategy = PCoreSet(teacher=str(path))
    assert strategy.needs_at(State()) == ()
    ids = np.arange(0, 60, 2)
    for labelled in ([], [3, 9]):
        ev = Evidence(ids, {}, labelled=np.array(labelled, int), c=3)
        told = Evidence(ids, {Probs(frame="all"): p[ev.all]}, labelled=np.array(labelled, int), c=3)
        one, other = choose(strategy, ev, 9, Seed(0).key()), choose(PCoreSet(), told, 9, Seed(0).key())
        assert one.ids.tolist() == other.ids.tolist()
        assert one.utility.tolist() == other.utility.tolist()
    archive = tmp_path / "teacher.npz"
    order = np.random.default_rng(1).permutation(60)
    np.savez(archive, ids=order, values=p[order])
    assert choose(PCoreSet(teacher=str(archive)), ev, 9, Seed(0).key()).ids.tolist() == one.ids.tolist()


def test_a_session_starts_from_a_teacher_and_records_what_it_says(tmp_path):
    dataset = fake_dataset()
    path = tmp_path / "teacher.npy"
    np.save(path, np.random.default_rng(0).dirichlet(np.ones(3), size=120))
    session = Session(dataset, strategy={"name": "pcoreset", "teacher": str(path)})
    query = session.ask(5)
    assert session.initial.card.name == "pcoreset"
    assert str(tmp_path) not in str(session.spec)
    session.tell({i: i % 3 for i in query.ids.tolist()})
    assert len(session.ask(5).ids) == 5


def test_L8_a_teacher_of_other_classes_or_of_no_probabilities_is_refused(p, tmp_path):
    path = tmp_path / "teacher.npy"
    ev = Evidence(np.arange(60), {}, c=4)
    np.save(path, p)
    with pytest.raises(DataError, match=r"shape \(n, 4\).*got \(60, 3\). Columns must be the declared classes"):
        choose(PCoreSet(teacher=str(path)), ev, 1, Seed(0).key())
    np.save(path, 3 * np.random.default_rng(0).normal(size=(60, 4)))
    with pytest.raises(DataError, match=r"are not probabilities.*softmax first"):
        choose(PCoreSet(teacher=str(path)), ev, 1, Seed(0).key())
    assert "external" in flags_of(PCoreSet())


def test_C18_C19_settings():
    assert strategies.build({"name": "pcoreset", "preset": "paper"}) == PCoreSet(teacher=None)
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=30)
    starts = {
        int(querist.select({"name": "pcoreset", "start": "random"}, 1, probs=p, seed=seed).ids[0]) for seed in range(9)
    }
    assert len(starts) > 3
