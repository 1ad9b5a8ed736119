"""Labels that are not paid for, paid for twice, or tested too early: every one of them is caught."""

from dataclasses import replace

import numpy as np
import pytest

from querist.errors import DataError, LeakError, LedgerError
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, VALIDATION, Answered, Asked, Evaluated, Opened
from querist.labels.ledger import JsonlLedger
from querist.labels.oracle import Query, SimulatedOracle
from querist.session.jobs import EvaluateJob, FitJob, SelectJob
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Selection
from querist.studies.spec import parse_study
from querist.studies.study import Study
from querist.testing.fakes import FakeLearner

OPENED = Opened(spec={})


@pytest.fixture
def oracle(dataset):
    return SimulatedOracle(dataset.labels, dataset.pool)


@pytest.fixture
def session(dataset, oracle):
    """A session with an initial pool of nine, about to ask again."""
    made = Session(Setting(dataset), learner=FakeLearner(), strategy="margin", initial="random", seed=0)
    made.tell(oracle.answer(made.ask(9)))
    return made


def towards(session, kind, b=5):
    """Work towards a query up to the first job of a kind; return it."""
    session.aim(b)
    while not isinstance(job := session.job(), kind):
        session.deliver(job, job.run())
    return job


# ---------------------------------------------------------------------------------------------------- what is fitted on


def test_a_validation_set_nobody_paid_for(dataset, session):
    """Somebody hands the fit a validation set of labels that are in no book."""
    job = towards(session, FitJob)
    held = session.candidates[:10]
    view = session.setting.view(held, held % dataset.c)
    with pytest.raises(LeakError, match="10 labels for validation that are not the 0 in the book"):
        session.deliver(FitJob(job.learner, job.fit._replace(validation=view)), job.run())


@pytest.mark.parametrize("wrong", ["one more", "other labels", "one fewer"])
def test_training_labels_that_are_not_those_in_the_book(dataset, session, wrong):
    """The labelled view of a fit is not what was bought."""
    job = towards(session, FitJob)
    ids, labels = job.fit.labelled.ids, job.fit.labelled.labels
    if wrong == "one more":
        ids, labels = (np.append(a, b) for a, b in ((ids, session.candidates[-1]), (labels, 0)))
    elif wrong == "one fewer":
        ids, labels = ids[1:], labels[1:]
    else:
        labels = (labels + 1) % dataset.c
    fit = job.fit._replace(labelled=session.setting.view(ids, labels))
    with pytest.raises(LeakError, match=f"with {len(ids)} labels for training that are not the 9 in the book"):
        session.deliver(FitJob(job.learner, fit), job.run())


def test_a_pool_that_comes_with_labels(dataset, session):
    """The unlabelled pool of a semi-supervised fit carries its labels."""
    job = towards(session, FitJob)
    pool = session.setting.view(session.candidates, session.candidates % dataset.c)
    with pytest.raises(LeakError, match="labels of the pool"):
        session.deliver(FitJob(job.learner, job.fit._replace(pool=pool)), job.run())


def test_a_validation_set_is_bought_and_stands_on_the_axis(dataset, oracle, watch):
    """The honest way: it is drawn at random, charged, neither candidate nor training label, and counted."""
    spied = watch(learner=FakeLearner(), strategy="margin", initial="random", validation=7).play(7, 9, 5)
    book = spied.book
    held = [i for i, why in book.charged.items() if why == VALIDATION]
    assert len(held) == book.spent[VALIDATION] == 7
    assert [e.n_labels for e in book.evaluations.values()] == [16, 21]
    for evidence in spied.evidence[1:]:
        assert not np.isin(held, evidence.all).any()


# ----------------------------------------------------------------------------------------------------- what is answered


def test_an_oracle_asked_for_test_labels(dataset, oracle):
    """Somebody asks for an item of the test split, or for one that was left out."""
    with pytest.raises(LeakError, match="outside the pool"):
        oracle.answer(Query(np.array([dataset.pool[0], dataset.test[0]])))
    split = np.array(dataset.manifest.split)
    split[dataset.pool[0]] = 3
    without = replace(dataset, manifest=replace(dataset.manifest, split=split))
    with pytest.raises(LeakError, match=f"outside the pool were asked for: ids {dataset.pool[0]}"):
        SimulatedOracle(without.labels, without.pool).answer(Query(dataset.pool[:3]))


def test_answers_outside_the_query(dataset, session):
    """An oracle gives more labels than it was asked for; none of its answers is entered."""
    query = session.ask(5)
    for more in (dataset.test[0], session.candidates[-1], next(iter(session.book.labels))):
        before = list(session.ledger)
        with pytest.raises(DataError, match="are not among the 5 items being asked"):
            session.tell({**dict.fromkeys(query.ids.tolist(), 0), int(more): 1})
        assert list(session.ledger) == before


def test_a_selection_outside_the_candidates(dataset, session):
    """A selection made elsewhere names an item of the test split, or one that was bought before."""
    job = towards(session, SelectJob)
    for stray in (dataset.test[0], next(iter(session.book.labels))):
        before = list(session.ledger)
        with pytest.raises((LeakError, LedgerError), match=str(stray)):
            session.deliver(job, Selection(np.array([stray]), None, None, ("",)))
        assert list(session.ledger) == before


def test_labels_that_exist_already_are_charged(dataset, oracle):
    """Labels brought along are bought like any other, and those of the test split are refused."""
    session = Session(Setting(dataset), learner=FakeLearner(), strategy="margin", seed=0)
    with pytest.raises(DataError, match="not in the pool"):
        session.adopt({int(dataset.test[0]): 0})
    session.adopt(oracle.answer(Query(dataset.pool[:9])))
    assert session.book.spent == {INITIAL: 9}


# ------------------------------------------------------------------------------------------------------ what is charged


def asked(*ids, number=-1, purpose=INITIAL):
    return Asked(round=number, purpose=purpose, ids=ids)


def answered(*ids, purpose=INITIAL):
    return Answered(round=-1, purpose=purpose, ids=ids, labels=tuple(0 for _ in ids))


@pytest.mark.parametrize(
    ("story", "events"),
    [
        ("asked for before it is paid twice", [asked(1, 2), answered(1, 2), asked(2, 3)]),
        ("asked again in a query", [asked(1, 2), answered(1, 2), asked(1, number=0, purpose=QUERY)]),
        ("asked again for validation", [asked(1, 2), answered(1, 2), asked(1, purpose=VALIDATION)]),
        ("answered twice", [asked(1, 2), answered(1), answered(1)]),
        ("answered twice at once", [asked(1, 2), answered(1, 1)]),
        ("answered without being asked", [answered(1)]),
        ("answered, though another was asked", [asked(1), answered(2)]),
        ("charged under another purpose", [asked(1), answered(1, purpose=VALIDATION)]),
        ("counted less than charged", [asked(1, 2), answered(1, 2), Evaluated(checkpoint=0, n_labels=1, metrics={})]),
        ("tested before it is charged", [asked(1, 2), Evaluated(checkpoint=0, n_labels=0, metrics={})]),
        ("tested twice", [asked(1), answered(1), *2 * [Evaluated(checkpoint=0, n_labels=1, metrics={})]]),
        ("tested ahead", [asked(1), answered(1), Evaluated(checkpoint=1, n_labels=1, metrics={})]),
    ],
)
def test_a_label_charged_twice_or_not_at_all(tmp_path, story, events):
    """No ledger can say that a label was paid for twice, or revealed without being paid for."""
    book = Book.replay([OPENED, *events[:-1]])
    with pytest.raises(LedgerError):
        book.apply(events[-1])
    ledger = JsonlLedger(tmp_path / "ledger.jsonl")
    ledger.append(OPENED, *events)
    with pytest.raises(LedgerError):
        Book.replay(JsonlLedger(ledger.path))


# ------------------------------------------------------------------------------------------------------- what is tested


def test_a_test_before_the_query_is_sealed(session):
    """Somebody tests the model that is about to choose."""
    towards(session, SelectJob)
    job = EvaluateJob(session.setting.evaluator, session._model, sealed=False)
    with pytest.raises(LeakError, match="only after its query is sealed"):
        job.run()
    before = list(session.ledger)
    with pytest.raises(LeakError, match="only after its query is sealed"):
        session.deliver(job, session.setting.evaluator.test(session._model))
    assert list(session.ledger) == before


def test_a_forged_test_before_the_query_is_sealed(session):
    """Somebody says of a test that the query is sealed when it is not."""
    towards(session, SelectJob)
    job = EvaluateJob(session.setting.evaluator, session._model, sealed=True)
    with pytest.raises(LeakError, match="only after its query is sealed"):
        session.deliver(job, {"accuracy": 1.0})


def test_a_test_item_without_a_label(dataset):
    """A test set with holes would be graded on the items that happen to be labelled."""
    y = np.array(dataset.labels.unseal())
    y[dataset.test[0]] = -1
    with pytest.raises(DataError, match="1 of the 30 test items"):
        _ = Setting(replace(dataset, labels=type(dataset.labels)(y))).evaluator


# ----------------------------------------------------------------------------------------------------- what is recorded


@pytest.fixture(scope="module")
def records(tmp_path_factory, dataset):
    """The tables of a study with an honest arm, an oracle and a one-shot rule, from an oracle's initial pool."""
    folder = tmp_path_factory.mktemp("study")
    split = np.where(dataset.manifest.split == 1, "test", "pool")
    np.savez(folder / "items.npz", x=dataset.items[np.arange(120)], y=dataset.labels.unseal(), split=split)
    study = Study(
        parse_study({
            "study": {
                "name": "flags", "dataset": {"name": "npz", "path": str(folder / "items.npz")}, "pools": 1,
                "strategy": ["margin", "class_uniform_oracle", "kmeans_single_batch"], "initial": "random",
            },
            "budget": {"counts": [6, 10, 12]},
            "validation": {"size": 3},
            "grid": {"initial": ["random", "class_uniform_oracle"]},
        }),
        folder / "store",
    )  # fmt: skip
    study.run()
    return study


def test_an_arm_that_cheats_is_flagged(records):
    """Oracle rules, one-shot rules and initial pools by an oracle are flagged in the table of arms."""
    arms = records.records().arms.set_index("arm")["flags"].to_dict()
    flags = {name: set(filter(None, words.split(","))) for name, words in arms.items()}
    for name, found in flags.items():
        expected = {"oracle"} if name.startswith("class_uniform_oracle") else set()
        expected |= {"one_shot"} if name.startswith("kmeans_single_batch") else set()
        expected |= {"initial_oracle"} if "initial=class_uniform_oracle" in name else set()
        assert found == expected, name
    assert len({frozenset(f) for f in flags.values()}) == 6


def test_every_label_is_on_the_axis(records):
    """What the tables count is what the books charged, validation included, at every checkpoint of every arm."""
    rounds = records.records().rounds
    for run in records.plan.runs:
        book = records.store.book(run)
        rows = rounds[(rounds["arm"] == run.arm.name) & (rounds["pool"] == run.pool)]
        for t, evaluation in book.evaluations.items():
            at = rows[rows["checkpoint"] == run.first + t]
            assert set(at["n_labels"]) == {evaluation.n_labels} == {run.counts[t] + 3}
            assert set(at["n_validation"]) == {3}
            charged = [i for a in book.asked if a.round < t for i in a.ids]
            assert len(charged) == evaluation.n_labels
        assert len(book.labels) == sum(book.spent.values())
