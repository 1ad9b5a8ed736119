"""What trackers hear of a session, in which order and under which numbers, and that none of them can stop it."""

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from querist.data.digits import digits
from querist.evidence.provider import Fit
from querist.labels.ledger import MemoryLedger
from querist.labels.oracle import Query, SimulatedOracle
from querist.progress import record, recording
from querist.session.cohort import advance
from querist.session.metrics import recalls
from querist.session.session import Session
from querist.session.setting import Setting
from querist.session.tracking.news import Later, News, Several
from querist.testing.fakes import FakeLearner, fake_dataset


class Heard:
    """A tracker that remembers."""

    def __init__(self):
        self.lines, self.closed = [], 0

    def log(self, event, values, step):
        self.lines.append((event, dict(values), step))

    def close(self):
        self.closed += 1

    def of(self, event):
        return [(values, step) for kind, values, step in self.lines if kind == event]


class Broken(Heard):
    """A tracker whose disk is full."""

    name = "broken"

    def log(self, event, values, step):
        super().log(event, values, step)
        raise OSError("no space left")


@dataclass(frozen=True, kw_only=True)
class Slow(FakeLearner):
    """Records two epochs in every fit, as a deep learner would; their loss tells how many labels it saw."""

    keeps: ClassVar = True

    def fit(self, job: Fit):
        for epoch in (1, 2):
            record("epoch", epoch=epoch, loss=float(len(job.labelled)))
        return super().fit(job)

    def save(self, model, folder):
        folder.mkdir(parents=True)

    def load(self, folder):
        raise NotImplementedError


def run(tracker, *, learner=None, rounds=2, seed=0, ledger=None, data=None):
    data = data or fake_dataset()
    session = Session(
        data, learner=learner or FakeLearner(), strategy="margin", seed=seed, ledger=ledger, tracker=tracker
    )
    oracle = SimulatedOracle(data.labels, data.pool)
    for b in [10, *[5] * rounds]:
        session.tell(oracle.answer(session.ask(b)))
    session.conclude()
    return session


def test_every_tested_checkpoint_is_told_as_it_stands_in_the_ledger():
    tracker = Heard()
    session = run(tracker)
    told = tracker.of("round")
    assert [step for _, step in told] == [10, 15, 20]
    for (values, step), tested in zip(told, session.book.evaluations.values(), strict=True):
        assert {name: values[name] for name in tested.metrics} == tested.metrics
        assert (values["checkpoint"], values["labels"], step) == (tested.checkpoint, tested.n_labels, tested.n_labels)
        labels = session.book.known(before=tested.checkpoint)[1]
        share = np.bincount(labels)[np.unique(labels)] / len(labels)
        assert values["class_entropy"] == pytest.approx(-(share * np.log(share)).sum())
        assert (values["classes_seen"], values["trained_on"]) == (len(share), len(labels))
        assert values["unlabelled"] == len(session.dataset.pool) - step
        assert values["seconds_fit"] > 0
        assert values["seconds_evaluate"] > 0


def test_the_recall_of_every_class_is_told_by_its_name():
    tracker, data = Heard(), digits()
    session = run(tracker, learner="linear", data=data, rounds=1)
    values, step = tracker.of("recall")[-1]
    assert (values.pop("round"), step) == (1, 2)
    assert list(values) == list(data.classes)
    last = tracker.of("round")[-1][0]
    assert np.mean(list(values.values())) == pytest.approx(last["balanced_accuracy"])
    assert np.isnan(recalls(np.eye(3), np.array([0, 1, 1]))[2])
    assert session.book.evaluations[1].metrics["balanced_accuracy"] == last["balanced_accuracy"]


def test_epochs_are_told_under_their_round_and_numbered_through_all_of_them():
    tracker = Heard()
    run(tracker, learner=Slow())
    assert tracker.of("epoch") == [
        ({"round": r, "epoch": e, "loss": n}, 2 * r + e) for r, n in enumerate((10.0, 15.0, 20.0)) for e in (1, 2)
    ]
    order = [event for event, *_ in tracker.lines if event != "recall"]
    assert order == ["epoch", "epoch", "round"] * 3


def test_a_cohort_tells_each_session_of_its_own_fits():
    setting, trackers = Setting(fake_dataset()), [Heard() for _ in range(3)]
    sessions = [
        Session(setting, learner=Slow(), strategy="margin", seed=i, tracker=tracker)
        for i, tracker in enumerate(trackers)
    ]
    for session, b in zip(sessions, (4, 6, 9), strict=True):
        session.tell({int(i): 0 for i in session.ask(b).ids})
        session.aim(0)
    assert advance(sessions) == {}
    assert [{values["loss"] for values, _ in tracker.of("epoch")} for tracker in trackers] == [{4.0}, {6.0}, {9.0}]
    assert [len(tracker.of("round")) for tracker in trackers] == [1, 1, 1]


def test_a_tracker_changes_no_record():
    ledgers = [MemoryLedger() for _ in range(3)]
    for ledger, tracker in zip(ledgers, (None, Heard(), Broken()), strict=True):
        run(tracker, learner=Slow(), ledger=ledger)
    first, second, third = (list(ledger) for ledger in ledgers)
    assert first == second == third
    assert len(first) > 5


def test_without_a_tracker_whoever_records_outside_still_hears():
    heard = []
    with recording(lambda event, values: heard.append(event)):
        run(None, learner=Slow(), rounds=0)
    assert heard == ["epoch", "epoch", "recall"]


def test_a_tracker_that_fails_is_left_out_with_one_warning_and_the_others_go_on(caplog):
    broken, sound, told = Broken(), Heard(), set()
    for _ in range(2):
        with caplog.at_level(logging.WARNING):
            several = Several(broken, sound, told=told)
            for step in range(3):
                several.log("epoch", {"loss": 1.0}, step)
            several.close()
    assert len(broken.lines) == 2  # once for each of the two
    assert (len(sound.lines), sound.closed, broken.closed) == (6, 2, 0)
    (line,) = caplog.messages
    assert line == "the tracker broken failed and is left out: OSError: no space left. Runs go on."


def test_a_tracker_that_fails_stops_no_session(caplog):
    broken = Broken()
    session = run(broken, learner=Slow())
    assert len(session.book.evaluations) == 3
    assert len(broken.lines) == len(caplog.messages) == 1


def test_a_person_who_stops_it_is_obeyed():
    class Stop(Heard):
        def log(self, event, values, step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Several(Stop()).log("epoch", {}, 1)


def test_running_numbers_go_on_where_an_earlier_process_ended():
    tracker = Heard()
    several = Several(tracker, last={"epoch": 40, "round": 15})
    for event, step in (("epoch", 1), ("trial", 1), ("round", 20)):
        several.log(event, {}, step)
    assert [(event, step) for event, _, step in tracker.lines] == [("epoch", 41), ("trial", 1), ("round", 20)]


def test_a_tracker_for_later_is_opened_once_and_only_if_there_is_something_to_tell():
    opened = []
    later = Later("x", lambda: opened.append(Heard()) or opened[-1])
    later.close()
    assert not opened
    for step in (1, 2):
        later.log("epoch", {}, step)
    later.close()
    assert [(len(tracker.lines), tracker.closed) for tracker in opened] == [(2, 1)]


def test_news_without_a_tracker_costs_nothing():
    news = News(None)
    with news.heard(0):
        record("epoch", loss=1.0)
    news.worked("fit", 1.0)
    news.close()


def test_a_query_in_the_middle_of_which_a_session_ends_is_told_once():
    """The test of a checkpoint that stands in the ledger is not made again, and not told again."""
    ledger, first, second = MemoryLedger(), Heard(), Heard()
    data = fake_dataset()
    session = Session(data, learner=FakeLearner(), strategy="margin", ledger=ledger, tracker=first)
    session.tell({int(i): 0 for i in session.ask(6).ids})
    asked = session.ask(4)
    again = Session(data, learner=FakeLearner(), strategy="margin", ledger=ledger, tracker=second)
    again.tell({int(i): 0 for i in Query(asked.ids).ids})
    again.conclude()
    assert [step for _, step in first.of("round")] == [6]
    assert [step for _, step in second.of("round")] == [10]
