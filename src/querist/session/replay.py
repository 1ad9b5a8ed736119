"""A query asked again: the ledger up to it, the model of its round, and what the strategy chooses now."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from querist.errors import UsageError
from querist.labels.book import Book
from querist.labels.events import INITIAL, QUERY, Asked, Event
from querist.labels.ledger import Ledger, MemoryLedger
from querist.session.session import Session


@dataclass(frozen=True, kw_only=True, eq=False)
class Replayed:
    """A query on record beside the same query asked again.

    Attributes:
        recorded: what was asked then.
        replayed: what is asked now; shorter where a query is asked one by one and an item of it differs, for what
            comes after depends on the answer to it.
        metrics: of the checkpoint that chose it, as recorded; empty if it was not tested.
        tested: of the checkpoint now.
        loaded: rounds whose models were read from disk.
        fits: how many models were fitted again.
    """

    recorded: Asked
    replayed: Asked
    metrics: Mapping[str, float] = field(default_factory=dict)
    tested: Mapping[str, float] = field(default_factory=dict)
    loaded: tuple[int, ...] = ()
    fits: int = 0

    @property
    def differing(self) -> list[tuple[int, int | None, int | None]]:
        """Ranks, from 0, at which another id was chosen: the rank, the id on record, the id now."""
        pairs = enumerate(zip_longest(self.recorded.ids, self.replayed.ids))
        return [(rank, then, now) for rank, (then, now) in pairs if then != now]

    @property
    def same(self) -> bool:
        """Whether the same ids were chosen, in the same order."""
        return not self.differing

    @property
    def apart(self) -> float:
        """How far a score or a test metric is from the one on record, at most; infinite if one was not made."""
        then, now = self.recorded.utility or (), self.replayed.utility or ()
        names = self.metrics.keys() | self.tested.keys() if self.metrics else ()
        pairs = [*zip_longest(then, now), *((self.metrics.get(name), self.tested.get(name)) for name in names)]
        return max((_distance(a, b) for a, b in pairs), default=0.0)


def replay(events: Iterable[Event], open_on: Callable[[Ledger], Session], number: int | None = None) -> Replayed:
    """Ask a query of a ledger again, and test the checkpoint that chose it again.

    Args:
        events: of the ledger; it is not changed.
        open_on: opens the session of this ledger on another one, in memory.
        number: round of the query; -1 is the initial pool; by default the last query that was fully asked.

    Raises:
        UsageError: there is no such query on record.
    """
    events = list(events)
    book = Book.replay(events)
    recorded = _recorded(book, number)
    first = next(
        i
        for i, event in enumerate(events)
        if isinstance(event, Asked) and (event.round, event.purpose) == (recorded.round, recorded.purpose)
    )
    ledger = MemoryLedger()
    ledger.append(*events[:first])
    session = open_on(ledger)
    session.ask(recorded.size)
    while (pending := session.book.pending) is not None and pending.left:
        (item,) = session.book.unanswered
        if pending.ids != recorded.ids[: len(pending.ids)]:
            break
        session.tell({item: None if item in book.declined else book.labels[item]})
        session.ask()
    tested, done = session.book.evaluations.get(recorded.round), book.evaluations.get(recorded.round)
    return Replayed(
        recorded=recorded,
        replayed=session.book.asked[-1],
        metrics=done.metrics if done else {},
        tested=tested.metrics if tested else {},
        loaded=tuple(timing.round for timing in session.timings if timing.step == "load"),
        fits=sum(timing.step == "fit" for timing in session.timings),
    )


def _recorded(book: Book, number: int | None) -> Asked:
    """The query of a round, in which nothing is left to be asked."""
    found = {asked.round: asked for asked in book.asked if asked.purpose in (INITIAL, QUERY) and not asked.left}
    if not found or (number is not None and number not in found):
        known = f"rounds {min(found)} to {max(found)} are" if found else "none is"
        which = "a query" if number is None else "the initial pool" if number < 0 else f"the query of round {number}"
        raise UsageError(f"{which} cannot be replayed, for it is not on record; {known}. Run the study first.")
    return found[max(found) if number is None else number]


def _distance(then: float | None, now: float | None) -> float:
    if then is None or now is None or math.isnan(then) != math.isnan(now):
        return math.inf
    return 0.0 if then == now or math.isnan(then) else abs(then - now)
