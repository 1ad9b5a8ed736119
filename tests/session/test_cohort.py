"""Sessions in step: the same bytes whatever the grouping, and an error stays with its session."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.errors import BudgetError, LeakError, SpecError, StoreError
from querist.evidence.provider import Fit
from querist.labels.events import QUERY
from querist.labels.ledger import JsonlLedger
from querist.labels.oracle import SimulatedOracle
from querist.session import evaluator
from querist.session.cohort import advance
from querist.session.jobs import FitJob
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.margin import Margin
from querist.testing.fakes import FakeLearner, fake_dataset

SETTING = Setting(fake_dataset())
ORACLE = SimulatedOracle(SETTING.dataset.labels, SETTING.dataset.pool)
KINDS = [
    (strategy, learner, seed)
    for strategy in ("random", "margin", "badge", "typiclust", "kmeans_multi_batch")
    for learner in (FakeLearner(), FakeLearner(temperature=4.0))
    for seed in (0, 1)
]


def sessions(tmp_path, kinds=tuple(KINDS)) -> list[Session]:
    return [
        Session(
            SETTING, strategy=strategy, learner=learner, initial="random", seed=seed,
            ledger=JsonlLedger(tmp_path / f"{strategy}-{learner.temperature}-{seed}.jsonl"),
        )
        for strategy, learner, seed in kinds
    ]  # fmt: skip


def run(group, sizes=(5, 5, 4)) -> dict[Session, Exception]:
    """Advance a group through some queries and a last test."""
    failed: dict[Session, Exception] = {}
    for b in (*sizes, 0):
        active = [s for s in group if s not in failed]
        for session in active:
            session.aim(b)
        failed |= advance(active)
        for session in active:
            if session not in failed and session.book.pending is not None:
                session.tell(ORACLE.answer(session.query))
    return failed


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, bytes]:
    """The ledger of every kind of session, each run by itself with ask and tell."""
    folder = tmp_path_factory.mktemp("alone")
    for session in sessions(folder):
        for b in (5, 5, 4):
            session.tell(ORACLE.answer(session.ask(b)))
        session.conclude()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(st.permutations(range(len(KINDS))), st.lists(st.integers(1, len(KINDS)), min_size=1, max_size=6))
@settings(max_examples=12, deadline=None)
def test_grouping_changes_no_byte(tmp_path_factory, alone, order, cuts):
    folder = tmp_path_factory.mktemp("grouped")
    kinds, bounds = [KINDS[i] for i in order], sorted({0, *cuts, len(KINDS)})
    for start, stop in pairwise(bounds):
        assert run(sessions(folder, kinds[start:stop])) == {}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == alone


def test_fits_of_one_learner_go_to_it_together(tmp_path, monkeypatch):
    calls = []
    fit_many = FakeLearner.fit_many

    def spy(self: Any, jobs: Any):
        calls.append((self.temperature, len(jobs)))
        return fit_many(self, jobs)

    monkeypatch.setattr(FakeLearner, "fit_many", spy)
    run(sessions(tmp_path), sizes=(5, 5))
    assert calls == [(1.0, 10), (4.0, 10)] * 2


@pytest.mark.parametrize("reach", ["margin", "fit"])
def test_one_that_fails_does_not_touch_the_others(tmp_path, alone, monkeypatch, reach):
    class MineError(RuntimeError):
        pass

    def fail(*_: Any):
        raise MineError

    if reach == "margin":
        monkeypatch.setattr(Margin, "score", fail)
        bad = "margin-"
    else:
        fit = FakeLearner.fit
        monkeypatch.setattr(
            FakeLearner, "fit", lambda self, job: fail() if job.seed.path[0] == "sick" else fit(self, job)
        )
        bad = "margin-1.0-9"
    group = sessions(tmp_path)
    if reach == "fit":
        ledger, seed = JsonlLedger(tmp_path / f"{bad}.jsonl"), replace(group[0].seed, path=("sick",))
        group.insert(3, Session(SETTING, strategy="margin", learner=FakeLearner(), seed=seed, ledger=ledger))
    failed = run(group)
    assert all(isinstance(error, MineError) for error in failed.values())
    assert {s.ledger.path.name.startswith(bad) for s in failed} == {True}  # pyright: ignore[reportAttributeAccessIssue]
    assert len(failed) == (4 if reach == "margin" else 1)
    rest = {path.name: path.read_bytes() for path in tmp_path.iterdir() if not path.name.startswith(bad)}
    assert rest == {name: data for name, data in alone.items() if not name.startswith(bad)}


def test_a_failed_session_can_go_on_later(tmp_path, alone, monkeypatch):
    group = sessions(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Margin, "score", lambda *_: 1 / 0)
        failed = run(group)
    for session in failed:
        assert run([session], sizes=(5, 4)) == {}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == alone


@pytest.mark.parametrize("place", ["ledger", "features", "fit"])
def test_a_store_that_cannot_be_written_stops_all(tmp_path, monkeypatch, place):
    def fail(*_: Any, **__: Any):
        raise StoreError("the disk is full")

    group = sessions(tmp_path)
    if place == "ledger":
        monkeypatch.setattr(JsonlLedger, "append", fail)
    if place == "features":
        monkeypatch.setattr(Setting, "view", fail)
    if place == "fit":
        monkeypatch.setattr(FakeLearner, "fit_many", fail)
    with pytest.raises(StoreError):
        run(group)


def test_a_learner_alone_with_its_error_is_called_once(monkeypatch):
    calls = []

    def fail(self: Any, job: Fit):
        calls.append(job)
        raise RuntimeError("no convergence")

    session = Session(SETTING, learner=FakeLearner(), strategy="margin")
    session.tell(ORACLE.answer(session.ask(5)))
    monkeypatch.setattr(FakeLearner, "fit", fail)
    session.aim(5)
    assert [str(e) for e in advance([session]).values()] == ["no convergence"]
    assert len(calls) == 1


@pytest.mark.parametrize("wrong", [lambda jobs: [], lambda jobs: [None] * (len(jobs) + 1)])
def test_a_learner_that_loses_count_is_told(tmp_path, monkeypatch, wrong):
    """Its sessions are fitted one by one where that still works; alone, the error is its own."""
    monkeypatch.setattr(FakeLearner, "fit_many", lambda self, jobs: wrong(jobs))
    session = sessions(tmp_path, KINDS[:1])[0]
    session.tell(ORACLE.answer(session.ask(5)))
    session.aim(5)
    (error,) = advance([session]).values()
    assert isinstance(error, SpecError)
    assert "for 1 jobs" in str(error)


def test_a_budget_that_does_not_fit_is_refused_where_it_is_set():
    session = Session(SETTING, learner=FakeLearner(), strategy="random")
    with pytest.raises(BudgetError):
        session.aim(91)
    assert advance([session]) == {}
    assert session.book.asked == []


def test_a_session_at_its_goal_is_left_alone():
    session = Session(SETTING, learner=FakeLearner(), strategy="margin")
    session.tell(ORACLE.answer(session.ask(5)))
    session.aim(5)
    assert advance([session, session.__class__(SETTING, learner=FakeLearner())]) == {}
    events = list(session.ledger)
    session.aim(5)
    assert advance([session]) == {}
    assert list(session.ledger) == events


def test_nothing_to_advance():
    assert advance([]) == {}


def test_a_model_of_other_labels_is_refused_in_a_cohort_too(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Swaps(FakeLearner):
        """Hands the job of one session to another: stands for a launcher that mixes results up."""

    session = Session(SETTING, learner=Swaps(), strategy="margin")
    session.tell(ORACLE.answer(session.ask(5)))
    session.aim(5)
    job = session.job()
    assert isinstance(job, FitJob)
    more = np.sort(np.append(job.fit.labelled.ids, session.candidates[:3]))
    foreign = replace(job, fit=job.fit._replace(labelled=SETTING.view(more, more % 3)))
    with pytest.raises(LeakError, match="not the 5 in the book"):
        session.deliver(foreign, foreign.run())


def test_every_session_is_tested_once_per_checkpoint(tmp_path, monkeypatch):
    tested = []
    test = evaluator.Evaluator.test
    monkeypatch.setattr(evaluator.Evaluator, "test", lambda self, model: tested.append(1) or test(self, model))
    group = sessions(tmp_path)
    run(group)
    assert len(tested) == 3 * len(group)
    assert all(sum(a.purpose == QUERY for a in s.book.asked) == 2 for s in group)
