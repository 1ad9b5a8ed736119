"""The book: a replay of events that adds up, and refuses every order of events that cannot be."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from querist.errors import LedgerError
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, VALIDATION, Answered, Asked, Evaluated, Opened, Tuned

OPENED = Opened(spec={"strategy": "margin"})
FIRST = Asked(round=-1, purpose=INITIAL, ids=(4, 7))
FIRST_ANSWER = Answered(round=-1, purpose=INITIAL, ids=(4, 7), labels=(1, 0))
TUNED = Tuned(checkpoint=0, settings={"C": 2.0}, trials=4, fits=12, value=0.75, updates=90)
SECOND = Asked(round=0, purpose=QUERY, ids=(9, 2, 5))
TESTED = Evaluated(checkpoint=0, n_labels=2, metrics={"accuracy": 0.5})
SECOND_ANSWER = Answered(round=0, purpose=QUERY, ids=(9, 2, 5), labels=(1, 1, 0))
STORY = [OPENED, FIRST, FIRST_ANSWER, SECOND, TESTED, SECOND_ANSWER]


def opened(*events):
    return Book.replay([OPENED, *events])


def test_a_story():
    book = Book.replay(STORY)
    assert book.labels == {4: 1, 7: 0, 9: 1, 2: 1, 5: 0}
    assert book.charged == {4: INITIAL, 7: INITIAL, 9: QUERY, 2: QUERY, 5: QUERY}
    assert book.spent == {INITIAL: 2, QUERY: 3}
    assert (book.round, book.pending, book.unanswered, book.declined) == (1, None, (), set())
    assert book.evaluations == {0: TESTED}
    ids, labels = book.known()
    assert ids.tolist() == [2, 4, 5, 7, 9]
    assert labels.tolist() == [1, 1, 0, 0, 1]
    assert ids.dtype == labels.dtype == np.int64


def test_validation_labels_are_kept_apart():
    book = opened(
        Asked(round=-1, purpose=VALIDATION, ids=(8, 3)),
        Answered(round=-1, purpose=VALIDATION, ids=(8, 3), labels=(0, 1)),
        FIRST,
        FIRST_ANSWER,
    )
    assert [part.tolist() for part in book.known(validation=True)] == [[3, 8], [1, 0]]
    assert [part.tolist() for part in book.known()] == [[4, 7], [1, 0]]
    assert book.spent == {VALIDATION: 2, INITIAL: 2}
    assert book.round == 0


def test_an_empty_book():
    book = Book()
    assert book.spec is None
    assert book.round == 0
    assert [part.shape for part in book.known()] == [(0,), (0,)]


def test_partial_answers_keep_the_rest_waiting():
    book = opened(FIRST, FIRST_ANSWER, SECOND, Answered(round=0, purpose=QUERY, ids=(2,), labels=(1,)))
    assert book.unanswered == (9, 5)
    assert book.round == 0
    book.apply(Answered(round=0, purpose=QUERY, ids=(5, 9), labels=(-1, 0)))
    assert book.pending is None
    assert book.round == 1
    assert book.declined == {5}
    assert 5 not in book.charged
    assert book.spent[QUERY] == 2


def test_what_a_search_found_and_cost():
    book = opened(FIRST, FIRST_ANSWER, TUNED, SECOND, TESTED, SECOND_ANSWER, replace(TUNED, checkpoint=1, trials=8))
    assert book.tuning == {0: TUNED, 1: replace(TUNED, checkpoint=1, trials=8)}
    assert book.count(before=1) == 5, "a search buys nothing"
    opened(FIRST, FIRST_ANSWER, SECOND, TUNED)
    opened(FIRST, FIRST_ANSWER, SECOND, SECOND_ANSWER, TUNED)  # late, for nobody asked for the model before
    opened(*VALIDATED, replace(TUNED, validation=2), SECOND)
    opened(FIRST, FIRST_ANSWER, replace(TUNED, trials=0, fits=0, updates=0, value=None, settings={}))
    opened(FIRST, FIRST_ANSWER, replace(TUNED, trials=0, fits=0, updates=0, reused=True))


def asked(**changes):
    return replace(SECOND, **changes)


def answered(**changes):
    return replace(SECOND_ANSWER, **changes)


VALIDATED = [
    Asked(round=-1, purpose=VALIDATION, ids=(8, 3)),
    Answered(round=-1, purpose=VALIDATION, ids=(8, 3), labels=(0, 1)),
    FIRST,
    FIRST_ANSWER,
]
DONE = [OPENED, FIRST, FIRST_ANSWER]
WAITING = [*DONE, SECOND]
DECLINED = [*WAITING, answered(labels=(-1, 1, 0))]
IMPOSSIBLE = {
    "nothing before it is opened: a query": ([], FIRST),
    "nothing before it is opened: an answer": ([], FIRST_ANSWER),
    "nothing before it is opened: a test": ([], TESTED),
    "opened twice": ([OPENED], OPENED),
    "opened late": (DONE, Opened(spec={})),
    "a query while another waits": (WAITING, asked(round=1, ids=(11,))),
    "the same query again": (WAITING, SECOND),
    "an initial pool while a query waits": (WAITING, asked(round=-1, purpose=INITIAL, ids=(11,))),
    "a round left out": (DONE, asked(round=1)),
    "a round repeated": ([*WAITING, SECOND_ANSWER], asked(ids=(11,))),
    "a query numbered as an initial pool": (DONE, asked(round=-1)),
    "an initial pool numbered as a query": ([OPENED], replace(FIRST, round=0)),
    "an unknown purpose": (DONE, asked(purpose="audit")),
    "a query for nothing": (DONE, asked(ids=())),
    "a query that repeats an id": (DONE, asked(ids=(9, 2, 9))),
    "a labelled id asked again": (DONE, asked(ids=(9, 4))),
    "a declined id asked again": (DECLINED, asked(round=1, ids=(9,))),
    "utilities of another number": (DONE, asked(utility=(0.1, 0.2))),
    "propensities of another number": (DONE, asked(propensity=(0.1,))),
    "reasons of another number": (DONE, asked(reasons=("why",))),
    "an answer to no question": (DONE, SECOND_ANSWER),
    "an answer given twice": ([*WAITING, SECOND_ANSWER], SECOND_ANSWER),
    "a part answered twice": ([*WAITING, answered(ids=(9,), labels=(1,))], answered(ids=(9, 2), labels=(1, 1))),
    "a declined part answered after all": (
        [*WAITING, answered(ids=(9,), labels=(-1,))], answered(ids=(9,), labels=(1,)),
    ),
    "an id answered twice in one answer": (WAITING, answered(ids=(9, 9), labels=(1, 1))),
    "an answer about an id nobody asked for": (WAITING, answered(ids=(9, 11), labels=(1, 1))),
    "an answer booked to another purpose": (WAITING, answered(purpose=INITIAL)),
    "an answer booked to another round": (WAITING, answered(round=1)),
    "an answer without labels": (WAITING, answered(labels=())),
    "an answer with a label too few": (WAITING, answered(labels=(1, 1))),
    "an answer with a label too many": (WAITING, answered(labels=(1, 1, 1, 1))),
    "an empty answer": (WAITING, answered(ids=(), labels=())),
    "a label below -1": (WAITING, answered(labels=(1, -2, 0))),
    "a checkpoint tested twice": ([*WAITING, TESTED], TESTED),
    "a checkpoint tested before its time": (DONE, replace(TESTED, checkpoint=1)),
    "a checkpoint tested when it is over": ([*WAITING, SECOND_ANSWER], replace(TESTED, n_labels=5)),
    "a test that counts other labels": (WAITING, replace(TESTED, n_labels=3)),
    "a test while an initial pool waits": ([OPENED, FIRST], replace(TESTED, n_labels=0)),
    "nothing before it is opened: a search": ([], TUNED),
    "a search noted twice": ([*DONE, TUNED], TUNED),
    "a search before there are labels": ([OPENED, FIRST], TUNED),
    "a search on validation labels alone": ([OPENED, *VALIDATED[:2]], replace(TUNED, validation=2)),
    "a search before its time": (DONE, replace(TUNED, checkpoint=1)),
    "a search for no checkpoint": (DONE, replace(TUNED, checkpoint=-1)),
    "a search after the test": ([*WAITING, TESTED], TUNED),
    "a search judged by labels nobody bought": (DONE, replace(TUNED, validation=2)),
    "a search judged by a part of the validation set": ([OPENED, *VALIDATED], replace(TUNED, validation=1)),
    "a search with fewer fits than trials": (DONE, replace(TUNED, fits=3)),
    "a search that gives time back": (DONE, replace(TUNED, updates=-1)),
    "a search taken over that cost something": (DONE, replace(TUNED, reused=True)),
    "a search with an accuracy above 1": (DONE, replace(TUNED, value=1.5)),
    "a search with an accuracy that is no number": (DONE, replace(TUNED, value=float("nan"))),
}  # fmt: skip


@pytest.mark.parametrize("story", IMPOSSIBLE)
def test_impossible_events_are_refused_and_change_nothing(story):
    before, event = IMPOSSIBLE[story]
    book = Book.replay(before)
    untouched = copy.deepcopy(book)
    with pytest.raises(LedgerError):
        book.check(event)
    with pytest.raises(LedgerError):
        book.apply(event)
    assert book == untouched
    with pytest.raises(LedgerError):
        Book.replay([*before, event])


@pytest.mark.parametrize("place", range(len(STORY)))
def test_leaving_out_an_event_is_found_unless_it_is_the_last(place):
    story = STORY[:place] + STORY[place + 1 :]
    if STORY[place] in (STORY[-1], TESTED):  # an untested checkpoint is no contradiction, a shorter story neither
        Book.replay(story)
        return
    with pytest.raises(LedgerError):
        Book.replay(story)


@st.composite
def stories(draw):
    """Any story that can be: initial and validation labels, queries, partial and declined answers, tests."""
    fresh = iter(draw(st.permutations(range(30))))
    events: list = [OPENED]
    charged = 0
    purposes = draw(st.lists(st.sampled_from([INITIAL, VALIDATION]), max_size=2)) + [QUERY] * draw(st.integers(0, 3))
    for step, purpose in enumerate(purposes):
        number = sum(p == QUERY for p in purposes[:step]) if purpose == QUERY else -1
        ids = tuple(next(fresh) for _ in range(draw(st.integers(1, 4))))
        if purpose == QUERY and draw(st.booleans()):
            before, asked = charged, len(ids)
            if step == len(purposes) - 1:
                asked = draw(st.integers(1, len(ids)))
            for k, i in enumerate(ids[:asked]):
                events.append(Asked(round=number, purpose=purpose, ids=(i,), left=len(ids) - k - 1))
                if k == len(ids) - 1 and draw(st.booleans()):
                    events.append(Evaluated(checkpoint=number, n_labels=before, metrics={}))
                label = draw(st.integers(-1, 3))
                charged += label >= 0
                events.append(Answered(round=number, purpose=purpose, ids=(i,), labels=(label,)))
            if asked < len(ids) and draw(st.booleans()):
                events.pop()
            continue
        events.append(Asked(round=number, purpose=purpose, ids=ids))
        if purpose == QUERY and draw(st.booleans()):
            events.append(Evaluated(checkpoint=number, n_labels=charged, metrics={}))
        rest = list(draw(st.permutations(ids)))
        if step == len(purposes) - 1 and draw(st.booleans()):
            rest = rest[: draw(st.integers(0, len(rest)))]
        while rest:
            part, rest = rest[:2], rest[2:]
            labels = tuple(draw(st.integers(-1, 3)) for _ in part)
            charged += sum(label >= 0 for label in labels)
            events.append(Answered(round=number, purpose=purpose, ids=tuple(part), labels=labels))
    return events


@given(stories())
@settings(max_examples=100, deadline=None)
def test_what_can_be_adds_up(events):
    book = Book()
    for event in events:
        book.apply(event)
        assert Book.replay(events[: events.index(event) + 1]) == book
    answered = [(i, y) for e in events if isinstance(e, Answered) for i, y in zip(e.ids, e.labels, strict=True)]
    assert book.labels == {i: y for i, y in answered if y >= 0}
    assert book.declined == {i for i, y in answered if y < 0}
    assert sum(book.spent.values()) == len(book.charged) == len(book.labels)
    assert book.charged.keys() == book.labels.keys()
    assert all(book.spent[p] == list(book.charged.values()).count(p) for p in (INITIAL, QUERY, VALIDATION))
    training, validation = book.known()[0].tolist(), book.known(validation=True)[0].tolist()
    assert sorted(training + validation) == sorted(book.labels)
    asked_ids = [i for e in events if isinstance(e, Asked) for i in e.ids]
    assert len(set(asked_ids)) == len(asked_ids)
    assert set(book.unanswered) == set(asked_ids) - book.labels.keys() - book.declined
    assert (book.pending is None) == (not book.unanswered and not book.due)
    queries = {e.round for e in events if isinstance(e, Asked) and e.purpose == QUERY}
    assert len(book.asked) == len(queries) + sum(e.purpose != QUERY for e in events if isinstance(e, Asked))
    assert book.round == len(queries) - (book.pending is not None and book.pending.purpose == QUERY)
    for t in queries:
        later = {i for e in events if isinstance(e, Asked) and e.purpose == QUERY and e.round >= t for i in e.ids}
        assert set(book.taken(before=t).tolist()) == (book.labels.keys() | book.declined) - later
        parts = [book.known(v, before=t)[0].tolist() for v in (False, True)]
        assert sorted(parts[0] + parts[1]) == sorted(book.labels.keys() - later)
        assert book.count(before=t) == len(book.labels.keys() - later)


@given(stories(), st.data())
@settings(max_examples=100, deadline=None)
def test_an_event_that_happens_twice_is_refused(events, data):
    place = data.draw(st.integers(0, len(events) - 1))
    with pytest.raises(LedgerError):
        Book.replay([*events[: place + 1], events[place], *events[place + 1 :]])
