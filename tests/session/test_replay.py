"""A stored query asked again: the same ids from the same model, and a difference that is seen."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from querist.errors import UsageError
from querist.labels.events import Asked
from querist.labels.ledger import MemoryLedger
from querist.labels.oracle import SimulatedOracle
from querist.learners.committee import Committee
from querist.session.replay import Replayed, replay
from querist.session.session import Session
from querist.testing.fakes import FakeLearner
from querist.testing.keeping import FakeKeeping, FakeWarm
from querist.testing.sequential import FakeSequential

SIZES = (5, 4, 4, 3)


@pytest.fixture
def stored(make):
    """Make the events of a session of three queries, and what opens it on another ledger."""

    def stored(**settings: Any):
        session = make(**{"strategy": "margin", **settings})
        oracle = SimulatedOracle(session.dataset.labels, session.dataset.pool)
        for b in (*([3] if settings.get("validation") else []), *SIZES):
            session.tell(oracle.answer(session.ask(b)))
            while session.book.due:
                session.tell(oracle.answer(session.ask()))
        reading = {**settings, "keep": "read"}
        return list(session.ledger), lambda ledger: make(**{"strategy": "margin", **reading}, ledger=ledger)

    return stored


@pytest.mark.parametrize("number", [-1, 0, 1, 2, None])
@pytest.mark.parametrize("strategy", ["margin", "tod", "badge", "random", "stochastic(margin)", FakeSequential()])
@pytest.mark.parametrize("learner", [FakeLearner(), FakeWarm()])
def test_every_query_comes_out_as_it_was(stored, strategy, learner, number):
    events, open_on = stored(strategy=strategy, learner=learner, validation=3, initial="random")
    found = replay(events, open_on, number)
    assert found.same
    assert found.apart == 0.0
    assert found.recorded == found.replayed
    assert found.recorded.round == (2 if number is None else number)
    assert found.metrics == found.tested
    assert bool(found.metrics) == (number != -1)


@pytest.mark.parametrize(
    ("learner", "keep", "loaded", "fits"),
    [
        (FakeKeeping(), "all", (1,), 0), (FakeKeeping(), "last", (), 1), (FakeKeeping(), "none", (), 1),
        (FakeWarm(), "all", (1,), 0), (FakeWarm(), "last", (), 2), (FakeLearner(), "all", (), 1),
        (Committee(base=FakeWarm(), members=2), "all", (1,), 0),
    ],
)  # fmt: skip
def test_it_says_which_models_were_loaded(stored, tmp_path, learner, keep, loaded, fits):
    events, open_on = stored(learner=learner, folder=tmp_path, keep=keep)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    found = replay(events, open_on, 1)
    assert (found.same, found.loaded, found.fits) == (True, loaded, fits)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_another_model_is_seen(stored, make):
    events, _ = stored()
    other = replay(events, lambda ledger: make(strategy="margin", learner=FakeLearner(temperature=50.0), ledger=ledger,
                                               spec=next(iter(events)).spec), 1)  # fmt: skip
    assert other.apart > 0
    unlike = replay(
        events, lambda ledger: make(strategy="k_center_greedy", ledger=ledger, spec=next(iter(events)).spec), 1
    )
    assert not unlike.same
    rank, then, now = unlike.differing[0]
    assert (unlike.recorded.ids[rank], unlike.replayed.ids[rank]) == (then, now)
    assert unlike.recorded.ids[:rank] == unlike.replayed.ids[:rank]


def test_a_query_asked_one_by_one_stops_at_the_first_item_that_differs(stored, make):
    events, _ = stored(strategy=FakeSequential())
    (item,) = next(e.ids for e in events if isinstance(e, Asked) and (e.round, e.left) == (1, 2))
    other = next(i for i in make().candidates.tolist() if all(i not in getattr(e, "ids", ()) for e in events))

    def forged(event: Any) -> Any:
        """The record says another id than the one that the session chooses, and has an answer for it."""
        ids = tuple(other if i == item else i for i in getattr(event, "ids", ()))
        return replace(event, ids=ids) if ids else event

    changed = [forged(event) for event in events]
    found = replay(changed, lambda ledger: make(strategy=FakeSequential(), ledger=ledger), 1)
    assert not found.same
    assert found.recorded.ids[1] == other
    assert found.replayed.ids == (found.recorded.ids[0], item)
    assert found.differing == [(1, other, item), *((rank, found.recorded.ids[rank], None) for rank in (2, 3))]
    assert math.isinf(found.apart)


def test_what_is_not_on_record_is_refused(stored):
    events, open_on = stored()
    with pytest.raises(UsageError, match=r"the query of round 7 cannot be replayed.*rounds -1 to 2 are"):
        replay(events, open_on, 7)
    with pytest.raises(UsageError, match=r"a query cannot be replayed.*none is"):
        replay(events[:1], open_on)


def test_distances_of_scores_that_are_missing():
    one = Asked(round=0, purpose="query", ids=(1, 2), utility=(0.5, math.nan))
    assert Replayed(recorded=one, replayed=one).apart == 0.0
    assert Replayed(recorded=one, replayed=replace(one, utility=(0.25, math.nan))).apart == 0.25
    assert Replayed(recorded=one, replayed=replace(one, utility=(0.5, 0.0))).apart == math.inf
    assert Replayed(recorded=one, replayed=replace(one, utility=None)).apart == math.inf
    tested = Replayed(recorded=one, replayed=one, metrics={"accuracy": 0.5}, tested={"accuracy": 0.75})
    assert tested.apart == 0.25
    assert tested.same


def test_labels_of_later_rounds_play_no_part(stored, make):
    """The session that replays has a ledger that ends before the query."""
    events, open_on = stored()
    known: list[int] = []

    def watching(ledger: MemoryLedger) -> Session:
        known.append(len([i for e in ledger if e.kind == "answered" for i in e.ids]))  # pyright: ignore[reportAttributeAccessIssue]
        return open_on(ledger)

    for number in (-1, 0, 1, 2):
        replay(events, watching, number)
    assert known == np.cumsum((0, 5, 4, 4)).tolist()
