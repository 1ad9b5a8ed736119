"""Sequential strategies: a query of b items that is asked one by one, and counts as one."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from querist.errors import BudgetError, DataError, LedgerError
from querist.evidence.needs import Draws, Features, Gradients, History, Labels, Probs
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, Answered, Asked, Evaluated
from querist.labels.ledger import JsonlLedger, MemoryLedger
from querist.labels.oracle import Query, SimulatedOracle
from querist.registry import Card
from querist.seeds import Seed
from querist.session import evaluator
from querist.session.cohort import advance
from querist.session.session import Session
from querist.strategies.base import Picks, Scoring, Strategy
from querist.strategies.stochastic import Stochastic
from querist.testing.fakes import FakeLearner, FakeModel
from querist.testing.sequential import FakeSequential


@pytest.fixture
def oracle(setting):
    return SimulatedOracle(setting.dataset.labels, setting.dataset.pool)


@pytest.fixture
def play(oracle):
    """Ask and answer query by query, however many asks each takes; return the finished rounds."""

    def play(session: Session, *sizes: int):
        done = []
        for b in sizes:
            while True:
                if (finished := session.tell(oracle.answer(session.ask(b)))) is not None:
                    done.append(finished)
                    break
        return done

    return play


@pytest.fixture
def start(make, play):
    def start(**settings: Any) -> Session:
        session = make(**{"strategy": FakeSequential(), "initial": "random", **settings})
        play(session, 6)
        return session

    return start


def sequential(cls):
    """Flag a strategy of a test."""
    cls.card = Card(name=cls.__name__, component=cls, flags=frozenset({"sequential"}))
    return cls


# ---------------------------------------------------------------------------------------------------- asks and answers


def test_a_query_of_b_items_takes_b_asks_and_is_one_round(start, oracle):
    session = start()
    told = []
    for k in range(4):
        query = session.ask(4) if k == 0 else session.ask()
        assert len(query.ids) == 1
        assert (query.round, query.purpose, len(query.reasons)) == (0, QUERY, 1)
        assert session.ask().ids.tolist() == session.ask(9).ids.tolist() == query.ids.tolist()
        told.append(session.tell(oracle.answer(query)))
    assert told[:3] == [None] * 3
    done = told[3]
    assert done is not None
    assert (done.round, done.n_labels, len(done.ids)) == (0, 10, 4)
    assert done.ids.tolist() == list(session.book.asked[-1].ids)
    assert done.metrics == session.book.evaluations[0].metrics
    assert (session.book.round, session.book.pending, session.book.due) == (1, None, 0)


def test_r_rounds_are_r_queries_and_r_plus_one_checkpoints(start, play):
    session = start()
    rounds = play(session, 4, 3, 5)
    session.conclude()
    assert [(r.round, len(r.ids), r.n_labels) for r in rounds] == [(0, 4, 10), (1, 3, 13), (2, 5, 18)]
    assert [(a.purpose, len(a.ids), a.left) for a in session.book.asked] == [
        (INITIAL, 6, 0), (QUERY, 4, 0), (QUERY, 3, 0), (QUERY, 5, 0),
    ]  # fmt: skip
    assert {t: e.n_labels for t, e in session.book.evaluations.items()} == {0: 6, 1: 10, 2: 13, 3: 18}


def test_every_answer_is_used_at_once_and_by_the_model_the_round_began_with(start, setting, oracle):
    """The twin fits once on the first labels and chooses with what is known meanwhile."""
    session = start()
    ids, labels = session.book.known()
    model = FakeLearner().fit(session._fit_job().fit)
    expected = []
    known = dict(zip(ids.tolist(), labels.tolist(), strict=True))
    for k in range(8):
        free = np.array([i for i in setting.dataset.pool.tolist() if i not in known])
        p = model.provide(Probs(), setting.view(free))
        key = Seed(0).child("fake", "round", 0, "select", "fake_sequential", "ask", k).key()
        count = [list(known.values()).count(j) for j in range(3)]
        ranks = [(count[row.argmax()], row.max(), h) for row, h in zip(p, key.hash(free), strict=True)]
        best = int(free[min(range(len(free)), key=ranks.__getitem__)])
        expected.append(best)
        known |= {i: y for i, y in oracle.answer(Query(np.array([best]))).items() if y is not None}
    for b in (8, *7 * [None]):
        session.tell(oracle.answer(session.ask(b)))
    assert list(session.book.asked[-1].ids) == expected
    whole = start(strategy=Batch())
    assert whole.ask(8).ids.tolist() != expected, "the answers made no difference"


@dataclass(frozen=True, kw_only=True)
class Batch(FakeSequential):
    """The same rule without the flag."""


def test_one_fit_and_one_test_per_round(start, play, monkeypatch):
    tested, fitted = [], []
    test, fit = evaluator.Evaluator.test, FakeLearner.fit
    monkeypatch.setattr(FakeLearner, "fit", lambda self, job: fitted.append(len(job.labelled)) or fit(self, job))
    session = start()

    def spy(self: Any, model: Any):
        tested.append((len(session.book.labels), session.book.pending.left))
        return test(self, model)

    monkeypatch.setattr(evaluator.Evaluator, "test", spy)
    play(session, 4, 3)
    assert fitted == [6, 10]
    assert tested == [(9, 0), (12, 0)], "the checkpoint was not tested after the last item was sealed"


def test_outputs_are_computed_once_per_round(start, play, monkeypatch):
    asked = []
    provide = FakeModel.provide
    monkeypatch.setattr(
        FakeModel, "provide", lambda self, need, view: asked.append(len(view)) or provide(self, need, view)
    )
    play(start(), 7)
    assert asked == [84, 30]


def test_keys_of_the_asks_differ(start, play):
    keys = []

    @sequential
    @dataclass(frozen=True, kw_only=True)
    class Keys(Strategy):
        def select(self, ev: Any, b: int, key: Any):
            keys.append(key.seed.path[-2:])
            return Picks(np.arange(b))

    play(start(strategy=Keys()), 3, 2)
    assert keys == [("ask", 0), ("ask", 1), ("ask", 2), ("ask", 0), ("ask", 1)]


def test_a_wrapper_of_a_sequential_strategy_asks_one_by_one_too(start, play):
    @sequential
    @dataclass(frozen=True, kw_only=True)
    class Scores(Scoring):
        needs: ClassVar = (Probs(),)

        def score(self, ev: Any):
            return ev[Probs()][:, 0]

    session = start(strategy=Stochastic(base=Scores()))
    assert len(session.ask(5).ids) == 1
    play(session, 5)
    assert session.book.asked[-1].size == 5


def test_chunks_change_nothing_for_a_sequential_score(start, play, monkeypatch):
    @sequential
    @dataclass(frozen=True, kw_only=True)
    class Scores(Scoring):
        needs: ClassVar = (Probs(), Labels())

        def score(self, ev: Any):
            return ev[Probs()][:, np.bincount(ev[Labels()], minlength=3).argmin()]

    whole, parts = start(strategy=Scores()), start(strategy=Scores())
    play(whole, 5)
    monkeypatch.setattr("querist.session.jobs.CHUNK", 11)
    play(parts, 5)
    assert parts.book == whole.book


def test_a_sequential_strategy_may_choose_the_initial_pool(make, play):
    @sequential
    @dataclass(frozen=True, kw_only=True)
    class Cold(Strategy):
        needs: ClassVar = (Features(), Labels())

        def select(self, ev: Any, b: int, key: Any):
            return Picks(np.arange(b), np.full(b, float(len(ev[Labels()]))))

    session = make(strategy="margin", initial=Cold())
    play(session, 4, 3)
    first, second = session.book.asked
    assert (first.purpose, first.round, len(first.ids), first.utility) == (INITIAL, -1, 4, (0.0, 1.0, 2.0, 3.0))
    assert (second.purpose, second.round, len(second.ids)) == (QUERY, 0, 3)


def test_the_whole_pool(start, play):
    session = start()
    play(session, 84)
    assert len(session.candidates) == 0
    assert session.conclude()


def test_declined_items_count_as_asked_and_are_not_charged(start, oracle):
    session = start()
    first = session.ask(3)
    assert session.tell({first.ids[0]: None}) is None
    session.tell(oracle.answer(session.ask()))
    done = session.tell(oracle.answer(session.ask()))
    assert done is not None
    assert (len(done.ids), done.n_labels, session.book.round) == (2, 8, 1)
    assert first.ids[0] not in session.candidates


def test_telling_and_looking_between_two_asks(start, oracle):
    session = start()
    session.tell(oracle.answer(session.ask(3)))
    assert session.book.due == 2
    with pytest.raises(DataError, match="Call ask first"):
        session.tell({int(session.candidates[0]): 0})
    with pytest.raises(BudgetError, match="2 items are still to be asked one by one"):
        _ = session.query
    before = list(session.ledger)
    assert session.conclude() == {}, "a query that is half asked was tested"
    assert list(session.ledger) == before
    assert len(session.ask(0).ids) == 1


# ------------------------------------------------------------------------------------------------------------- evidence


def test_evidence_between_asks_is_that_of_the_moment(start, play, setting):
    """Labels of the moment, outputs of the model the round began with, whatever they are about."""
    seen = []

    @sequential
    @dataclass(frozen=True, kw_only=True)
    class Looks(Strategy):
        needs: ClassVar = (
            Probs(), Probs(frame="labelled"), Probs(frame="all"), Gradients(), Gradients(frame="labelled"), Labels(),
            Features(), History(),
        )  # fmt: skip

        def select(self, ev: Any, b: int, key: Any):
            seen.append(ev)
            return Picks(np.arange(b))

    session = start(strategy=Looks())
    model = FakeLearner().fit(session._fit_job().fit)
    play(session, 4)
    for k, ev in enumerate(seen):
        assert (len(ev.labelled), len(ev.candidates)) == (6 + k, 84 - k)
        assert np.array_equal(ev[Labels()], ev.labelled % 3)
        for frame in ("candidates", "labelled", "all"):
            assert np.array_equal(ev[Probs(frame=frame)], model.provide(Probs(), setting.view(ev.ids(frame))))
        assert np.array_equal(ev[Gradients()].embedding, setting.dataset.items[ev.candidates].astype(np.float64))
        truth = np.eye(3)[ev[Labels()]]
        assert np.allclose(ev[Gradients(frame="labelled")].residual, ev[Probs(frame="labelled")] - truth)
        assert len(ev[Features()]) == len(ev.candidates)
        assert [len(ids) for ids in ev[History()].ids] == ([k] if k else [])


def test_outputs_on_the_same_rows_are_those_of_the_new_model(make, setting, oracle):
    """The last item of a round is declined, so the next one begins with labelled rows the round has seen."""
    seen = []

    @sequential
    @dataclass(frozen=True, kw_only=True)
    class Looks(Strategy):
        needs: ClassVar = (Probs(frame="labelled"),)

        def select(self, ev: Any, b: int, key: Any):
            seen.append(ev)
            return Picks(np.arange(b))

    session = make(strategy=Looks(), initial="random")
    session.tell(oracle.answer(session.ask(5)))
    session.tell(oracle.answer(session.ask(2)))
    session.tell(dict.fromkeys(session.ask().ids.tolist()))
    model = FakeLearner().fit(session._fit_job().fit)
    session.ask(2)
    assert seen[1].labelled.tolist() == seen[2].labelled.tolist()
    expected = model.provide(Probs(), setting.view(seen[2].labelled))
    assert np.array_equal(seen[2][Probs(frame="labelled")], expected)
    assert not np.array_equal(seen[1][Probs(frame="labelled")], expected)


def test_draws_are_cut_to_those_left(make, play):
    """A committee's draws are made once, and each ask sees its part of them."""
    seen = []

    @sequential
    @dataclass(frozen=True, kw_only=True)
    class Looks(Strategy):
        needs: ClassVar = (Draws(k=3, coherent=True),)

        def select(self, ev: Any, b: int, key: Any):
            seen.append((ev.candidates, ev[Draws(k=3, coherent=True)]))
            return Picks(np.arange(b))

    session = make(strategy=Looks(), initial="random", learner={"name": "committee", "members": 3})
    play(session, 6, 3)
    (ids, first), *rest = seen
    for later, draws in rest:
        rows = np.searchsorted(ids, later)
        assert len(draws) == 3
        assert all(np.array_equal(draw, whole[rows]) for draw, whole in zip(draws, first, strict=True))


# ------------------------------------------------------------------------------------------------------------- the book


def events(session):
    return [event for event in session.ledger if not isinstance(event, Evaluated)][3:]


def test_the_ledger_says_how_many_are_left(start, play):
    ledger = MemoryLedger()
    session = start(ledger=ledger)
    play(session, 3)
    asked = [event for event in events(session) if isinstance(event, Asked)]
    assert [(len(event.ids), event.left, event.round) for event in asked] == [(1, 2, 0), (1, 1, 0), (1, 0, 0)]
    assert Book.replay(ledger) == session.book
    merged = session.book.asked[-1]
    for name in ("utility", "ids", "reasons"):
        assert getattr(merged, name) == tuple(getattr(event, name)[0] for event in asked)


FIRST = Asked(round=0, purpose=QUERY, ids=(9,), left=2)
ANSWER = Answered(round=0, purpose=QUERY, ids=(9,), labels=(1,))
SECOND = Asked(round=0, purpose=QUERY, ids=(5,), left=1)


@pytest.mark.parametrize(
    ("before", "event"),
    [
        ([], replace(FIRST, left=-1)),
        ([FIRST], SECOND),
        ([FIRST, ANSWER], replace(SECOND, left=2)),
        ([FIRST, ANSWER], replace(SECOND, left=0)),
        ([FIRST, ANSWER], replace(SECOND, round=1)),
        ([FIRST, ANSWER], replace(SECOND, round=-1, purpose=INITIAL)),
        ([FIRST, ANSWER], replace(SECOND, ids=(9,))),
        ([FIRST, ANSWER], ANSWER),
        ([FIRST, ANSWER], replace(ANSWER, ids=(5,))),
        ([FIRST], Evaluated(checkpoint=0, n_labels=6, metrics={})),
        ([FIRST, ANSWER], Evaluated(checkpoint=0, n_labels=6, metrics={})),
        ([FIRST, ANSWER], Evaluated(checkpoint=1, n_labels=7, metrics={})),
        (
            [FIRST, ANSWER, replace(SECOND, ids=(5, 6), left=0)],
            Evaluated(checkpoint=0, n_labels=7, metrics={}),
        ),
    ],
)
def test_stories_that_cannot_be(start, before, event):
    book = Book()
    for e in [*start().ledger, *[shifted(e) for e in before]]:
        book.apply(e)
    with pytest.raises(LedgerError):
        book.apply(shifted(event))


def shifted(event):
    """The ids of the stories above, moved to items nobody asked for."""
    return event if isinstance(event, Evaluated) else replace(event, ids=tuple(1000 + i for i in event.ids))


def test_what_was_known_before_a_round(start, play):
    session = start(validation=3, strategy=FakeSequential())
    play(session, 6, 4, 2)
    book = session.book
    sizes = [len(book.known(before=t)[0]) for t in (-1, 0, 1, 2, 3)]
    assert sizes == [6, 6, 10, 12, 12]
    assert [book.count(before=t) for t in (0, 1, 2)] == [9, 13, 15]
    assert all(len(book.known(validation=True, before=t)[0]) == 3 for t in (0, 2))
    ids, labels = book.known(before=1)
    assert np.array_equal(labels, ids % 3)
    assert set(ids.tolist()) == {i for a in book.asked[1:3] for i in a.ids}
    assert set(book.taken(before=1).tolist()) == {i for a in book.asked[:3] for i in a.ids}
    session.tell({int(session.ask(3).ids[0]): 1})
    assert len(book.known(before=book.round)[0]) == 12
    assert len(book.known()[0]) == 13


# --------------------------------------------------------------------------------------------------- kills and cohorts


@pytest.mark.parametrize("learner", [FakeLearner(), {"name": "committee", "members": 3}])
def test_reopened_before_every_step_it_asks_the_same(make, oracle, tmp_path, learner):
    """Also between an answer and the next ask, with nothing but the ledger to go on from."""
    settings = {"strategy": FakeSequential(), "initial": "random", "learner": learner, "validation": 2}
    ledgers = []
    for disturbed in (False, True):
        path = tmp_path / f"{disturbed}.jsonl"
        session = make(ledger=JsonlLedger(path), **settings)
        for b in (1, 6, 4, 3):
            finished = None
            while finished is None:
                session = make(ledger=JsonlLedger(path), **settings) if disturbed else session
                query = session.ask(b)
                session = make(ledger=JsonlLedger(path), **settings) if disturbed else session
                finished = session.tell(oracle.answer(query))
        session.conclude()
        ledgers.append(path.read_bytes())
    assert ledgers[0] == ledgers[1]


def test_a_fit_does_not_depend_on_how_much_of_its_round_was_answered(start, oracle):
    """Labels, pool and seed of the round's fit and of the one before, at any moment of the round."""

    def fits(session):
        jobs = [session._fit_job(previous).fit for previous in (False, True)]
        return [(f.labelled.ids.tolist(), f.labelled.labels.tolist(), f.pool.ids.tolist(), f.seed) for f in jobs]

    session = start()
    session.tell({int(session.ask(1).ids[0]): 1})
    began = fits(session)
    assert [len(ids) for ids, *_ in began] == [7, 6]
    assert [len(pool) for _, _, pool, _ in began] == [83, 84]
    assert [seed.path[-2] for *_, seed in began] == [1, 0]
    for k in range(4):
        query = session.ask(4)
        assert fits(session) == began
        finished = session.tell({int(query.ids[0]): None} if k == 1 else oracle.answer(query))
        assert finished is not None or fits(session) == began
    assert fits(session)[1] == began[0], "the round before is not fitted as it was"


def test_sessions_in_step_ask_the_same(make, oracle):
    alone = make(strategy=FakeSequential(), initial="random", seed=1)
    for b in (5, 4, 4):
        while alone.tell(oracle.answer(alone.ask(b))) is None:
            pass
    group = [make(strategy=s, initial="random", seed=1) for s in (FakeSequential(), "margin", FakeSequential())]
    sizes = {session: [5, 4, 4] for session in group}
    while active := [session for session in group if sizes[session]]:
        for session in active:
            session.aim(sizes[session][0])
        assert advance(active) == {}
        for session in active:
            if session.tell(oracle.answer(session.query)) is not None:
                sizes[session].pop(0)
    assert list(group[0].ledger) == list(group[2].ledger) == list(alone.ledger)
