"""A session that is interrupted, answered in parts and reopened at any point, beside one that nobody disturbs."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from querist.errors import BudgetError, DataError
from querist.evidence.evidence import Evidence
from querist.evidence.needs import History, Labels, Need, Previous, Probs
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, VALIDATION, Asked, Evaluated
from querist.labels.ledger import JsonlLedger
from querist.labels.oracle import SimulatedOracle
from querist.learners.committee import Committee
from querist.registry import Card
from querist.seeds import Key
from querist.session.jobs import timed
from querist.session.session import Session
from querist.session.setting import Setting
from querist.strategies.base import Picks, State, Strategy
from querist.testing.fakes import FakeLearner, fake_dataset
from querist.testing.keeping import FakeKeeping, FakeWarm
from querist.testing.sequential import FakeSequential

MEMORY = Path("/dev/shm")
"""A disk in memory, where there is one: thousands of examples should not wait for a real one."""
EXAMPLES = int(os.environ.get("QUERIST_EXAMPLES", "80"))
SETTING = Setting(fake_dataset(n=60, c=3))
POOL = SETTING.dataset.pool
ORACLE = SimulatedOracle(SETTING.dataset.labels, POOL)
NAMES = SETTING.dataset.classes


@dataclass(frozen=True, kw_only=True)
class LooksBack(Strategy):
    """Asks where the model changed its mind most since the round before, and seldom where it asked before."""

    def needs_at(self, state: State) -> tuple[Need[Any], ...]:
        return (Probs(), Previous(need=Probs()), History()) if state.round >= 1 else (Labels(),)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        if Probs() not in ev.needs:
            return Picks(np.argsort(key.hash(ev.candidates))[:b])
        change = np.abs(ev[Probs()] - ev[Previous(need=Probs())]).sum(axis=1)
        change = change + 1e-3 * sum(float(ids[0]) for ids in ev[History()].ids)
        rows = np.lexsort((key.hash(ev.candidates), -change))[:b]
        return Picks(rows, change[rows])


@dataclass(frozen=True, kw_only=True)
class SequentialStart(Strategy):
    """Chooses an initial pool one by one, at random; the utility is how many labels it knew."""

    card: ClassVar[Card[Strategy]]
    needs: ClassVar = (Labels(),)

    def select(self, ev: Evidence, b: int, key: Key) -> Picks:
        return Picks(np.argsort(key.hash(ev.candidates))[:b], np.full(b, float(len(ev.labelled))))


SequentialStart.card = Card(name="sequential_start", component=SequentialStart, flags=frozenset({"sequential"}))
STRATEGIES: list[Any] = [
    "random", "random(nested=True)", "margin", "entropy", "badge", "k_center_greedy", "typiclust", "kmeans_multi_batch",
    "stochastic(margin)", "class_uniform_oracle", FakeSequential(), LooksBack(),
]  # fmt: skip
LEARNERS: list[Any] = [FakeLearner(), FakeKeeping(), FakeWarm(), Committee(base=FakeWarm(), members=2)]
INITIAL_POOLS: list[Any] = [None, "random", "k_center_greedy", "typiclust", SequentialStart()]


class SessionMachine(RuleBasedStateMachine):
    @initialize(
        learner=st.sampled_from(LEARNERS), keep=st.sampled_from(["last", "all", "none"]),
        strategy=st.sampled_from(STRATEGIES), initial=st.sampled_from(INITIAL_POOLS),
        validation=st.integers(0, 4), seed=st.integers(0, 3), repeat=st.integers(0, 1),
    )  # fmt: skip
    def start(self, keep: Any, **choices: Any):
        if choices["strategy"] == "badge" and isinstance(choices["learner"], Committee):
            choices["strategy"] = "margin"  # a committee has no gradients
        self.choices, self.keep = choices, keep
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.path = self.folder / "ledger.jsonl"
        self.session = self.open()
        self.budgets: list[int] = []  # one per sealed query
        self.answers: list[dict[int, int | None]] = []  # one per sealed query, as far as it is answered
        self.concluded = False

    def open(self) -> Session:
        return Session(
            SETTING, ledger=JsonlLedger(self.path), folder=self.folder, keep=self.keep, **self.choices
        )  # fmt: skip

    def teardown(self):
        if hasattr(self, "session"):
            self.compare_with_an_undisturbed_session()
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pending(self) -> Asked | None:
        return self.session.book.pending

    @property
    def left(self) -> int:
        return len(self.session.candidates)

    def note(self, before: int, b: int) -> None:
        """Write down that a query was sealed, if one was."""
        if len(self.session.book.asked) > before:
            self.budgets.append(b)
            self.answers.append({})

    # ----------------------------------------------------------------------------------------------------------- verbs

    @precondition(lambda self: self.pending is None and self.left)
    @rule(data=st.data())
    def ask(self, data):
        b = data.draw(st.integers(1, min(6, self.left)))
        before = len(self.session.book.asked)
        query = self.session.ask(b)
        self.note(before, b)
        assert query.ids.tolist() == list(self.session.book.unanswered)

    @precondition(lambda self: self.pending is not None)
    @rule(b=st.none() | st.integers(-3, 200))
    def ask_again(self, b):
        before, due = len(list(self.session.ledger)), self.session.book.due
        query = self.session.ask(b)
        assert query.ids.tolist() == list(self.session.book.unanswered)
        assert (query.round, query.purpose) == (self.pending.round, self.pending.purpose)
        more = list(JsonlLedger(self.path))[before:]
        if due:
            first, *more = more
            assert isinstance(first, Asked), "the next item was not asked"
            assert (first.left, len(first.ids)) == (due - 1, 1)
        assert all(isinstance(event, Evaluated) for event in more), "asking again did more than test a checkpoint"

    @precondition(lambda self: self.session.book.unanswered)
    @rule(data=st.data())
    def tell(self, data):
        waiting = list(self.session.book.unanswered)
        ids = data.draw(st.lists(st.sampled_from(waiting), min_size=1, unique=True) | st.just(waiting))
        truth = ORACLE.answer(self.session.query)
        declined = data.draw(st.sets(st.sampled_from(ids))) if data.draw(st.integers(0, 4)) == 0 else set()
        spelled = {i: None if i in declined else data.draw(st.sampled_from([truth[i], NAMES[truth[i]]])) for i in ids}
        done = self.session.tell(spelled)
        self.answers[-1] |= {i: None if i in declined else truth[i] for i in ids}
        assert (done is None) == (len(ids) < len(waiting) or self.pending is not None)
        if done is not None:
            bought = {i: y for i, y in self.answers[-1].items() if y is not None}
            assert dict(zip(done.ids.tolist(), done.labels.tolist(), strict=True)) == bought
            assert done.n_labels == len(self.session.book.charged)
            assert bool(done.metrics) == (done.purpose == QUERY)
            self.concluded = False

    @precondition(lambda self: self.session.book.due)
    @rule()
    def look_between_two_asks(self):
        before = self.path.read_bytes()
        assert self.session.conclude() == {}
        with pytest.raises(BudgetError, match="one by one"):
            _ = self.session.query
        assert self.path.read_bytes() == before

    @precondition(lambda self: self.pending is None)
    @rule()
    def conclude(self):
        metrics = self.session.conclude()
        trained = len(self.session.book.known()[0]) > 0
        self.concluded = trained
        assert bool(metrics) == trained
        assert self.session.conclude() == metrics

    @rule(data=st.data())
    def wrong_answers(self, data):
        before = self.path.read_bytes()
        waiting = list(self.session.book.unanswered)
        foreign = sorted(set(range(len(SETTING.dataset.manifest))) - set(waiting))
        wrong: list[dict[Any, Any]] = [{data.draw(st.sampled_from(foreign)): 0}]
        if waiting:
            good = waiting[0]
            wrong += [{good: len(NAMES)}, {good: -1}, {good: "no such class"}, {good: True}, {good: 1.0}]
            wrong += [{float(good): 0}, {str(good): 0}, {good: 0, foreign[0]: 1}, {True: 0}]
        with pytest.raises(DataError):
            self.session.tell(data.draw(st.sampled_from(wrong)))
        assert self.path.read_bytes() == before

    @precondition(lambda self: self.pending is None)
    @rule(more=st.integers(1, 5))
    def wrong_budgets(self, more):
        before = self.path.read_bytes()
        for b in (0, -more, self.left + more, None, 2.5, True):
            with pytest.raises(BudgetError):
                self.session.ask(b)  # pyright: ignore[reportArgumentType]
        assert self.path.read_bytes() == before

    # ----------------------------------------------------------------------------------------------------- disturbance

    @rule()
    def reopen(self):
        self.session = self.open()

    @rule(jobs=st.integers(0, 5), data=st.data())
    def killed_between_jobs(self, jobs, data):
        b = data.draw(st.integers(1, min(6, self.left))) if self.pending is None and self.left else 0
        b = data.draw(st.sampled_from([0, 1])) if self.pending is not None else b
        before = len(self.session.book.asked)
        self.session.aim(b)
        for _ in range(jobs):
            if (job := self.session.job()) is None:
                break
            self.session.deliver(job, *timed(job))
        self.session = self.open()
        self.note(before, b)

    @precondition(lambda self: self.path.exists())
    @rule(lost=st.integers(1, 40))
    def killed_while_writing(self, lost):
        """The last write of the process is torn off, and what it did since is forgotten."""
        data = self.path.read_bytes()
        start = data.rfind(b"\n", 0, -1) + 1
        if start == 0 or lost >= len(data) - start:
            return
        self.path.write_bytes(data[:-lost])
        self.session = self.open()
        book = self.session.book
        del self.budgets[len(book.asked) :], self.answers[len(book.asked) :]
        for asked, answers in zip(book.asked, self.answers, strict=True):
            known = {i for i in asked.ids if i in book.labels or i in book.declined}
            for i in answers.keys() - known:
                del answers[i]
        self.concluded = self.pending is None and book.round in book.evaluations

    @precondition(lambda self: (self.folder / "models").is_dir())
    @rule(data=st.data())
    def models_are_lost(self, data):
        """A file of a model is cut short, damaged or deleted, by a kill while it was written or by a hand."""
        files = sorted(path for path in (self.folder / "models").rglob("*") if path.is_file())
        if not files:
            return
        path = data.draw(st.sampled_from(files))
        match data.draw(st.sampled_from(["cut", "damaged", "gone", "all gone"])):
            case "cut":
                path.write_bytes(path.read_bytes()[:-3])
            case "damaged":
                path.write_bytes(b"[]")
            case "gone":
                path.unlink()
            case _:
                shutil.rmtree(self.folder / "models")
        self.session = self.open()

    # ------------------------------------------------------------------------------------------------------ invariants

    @invariant()
    def labels_are_charged_once_and_add_up(self):
        if not hasattr(self, "session"):
            return
        book = self.session.book
        assert Book.replay(JsonlLedger(self.path)) == book
        ids = [i for asked in book.asked for i in asked.ids]
        assert len(set(ids)) == len(ids), "an id was asked for twice"
        assert set(ids) <= set(POOL.tolist()), "an id outside the pool was asked for"
        assert sum(book.spent.values()) == len(book.labels) == len(book.charged)
        for purpose in (INITIAL, QUERY, VALIDATION):
            bought = [i for a in book.asked if a.purpose == purpose for i in a.ids if i in book.labels]
            assert book.spent[purpose] == len(bought)
        assert book.spent[VALIDATION] <= self.choices["validation"]
        assert all(book.labels[i] == y for answers in self.answers for i, y in answers.items() if y is not None)

    @invariant()
    def checkpoints_are_tested_after_their_query_is_sealed(self):
        if not hasattr(self, "session"):
            return
        book = self.session.book
        sealed = {asked.round for asked in book.asked if asked.purpose == QUERY}
        current = {book.round} if self.concluded else set()
        assert book.evaluations.keys() <= sealed | current

    def compare_with_an_undisturbed_session(self):
        calm = Session(SETTING, **self.choices)
        for b, answers in zip(self.budgets, self.answers, strict=True):
            calm.ask(b)
            while waiting := [i for i in calm.book.unanswered if i in answers]:
                calm.tell({i: answers[i] for i in waiting})
                calm.ask() if calm.book.due else None
        self.session.ask() if self.pending else None  # tests what a kill left untested, and asks what is due
        left, right = self.session.book, calm.book
        assert left.asked == right.asked, "another query than that of an undisturbed session"
        assert (left.labels, left.charged, left.spent) == (right.labels, right.charged, right.spent)
        assert (left.declined, left.pending) == (right.declined, right.pending)
        last = {left.round} if self.concluded else set()
        assert {t: e for t, e in left.evaluations.items() if t not in last} == {
            t: e for t, e in right.evaluations.items() if t not in last
        }


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None)
