"""The book a session keeps: which labels are known, what they cost, what was asked. A pure replay of events."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from querist.arrays import Ids, Labels
from querist.errors import LedgerError
from querist.labels.events import (
    DECLINED,
    PURPOSES,
    QUERY,
    VALIDATION,
    Answered,
    Asked,
    Evaluated,
    Event,
    Opened,
    Tuned,
    joined,
)


@dataclass
class Book:
    """The state that events add up to.

    Attributes:
        spec: what the ledger is of, None before it was opened.
        labels: id -> label, every label ever revealed, in the order of purchase.
        charged: id -> what its label was bought for, exactly one entry per label.
        spent: purpose -> number of labels charged.
        declined: ids the oracle would not label.
        asked: sealed queries in order; one that is asked one by one is one query, as far as it is asked.
        pending: the last query while it is not fully asked and answered.
        evaluations: checkpoint -> evaluation.
        tuning: checkpoint -> what a search for settings of the learner found, and what it cost.
    """

    spec: Mapping[str, Any] | None = None
    labels: dict[int, int] = field(default_factory=dict)
    charged: dict[int, str] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)
    declined: set[int] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)
    pending: Asked | None = None
    evaluations: dict[int, Evaluated] = field(default_factory=dict)
    tuning: dict[int, Tuned] = field(default_factory=dict)

    @classmethod
    def replay(cls, events: Iterable[Event]) -> "Book":
        """Return the book of a ledger."""
        book = cls()
        for event in events:
            book.apply(event)
        return book

    def apply(self, event: Event) -> None:
        """Enter one event, or nothing of it.

        Raises:
            LedgerError: the event cannot follow the ones before it; see `check`.
        """
        self.check(event)
        match event:
            case Opened():
                self.spec = event.spec
            case Asked():
                if self.pending is not None:
                    event = joined(self.asked.pop(), event)
                self.asked.append(event)
                self.pending = event
            case Answered():
                self._answer(event)
            case Evaluated():
                self.evaluations[event.checkpoint] = event
            case Tuned():
                self.tuning[event.checkpoint] = event

    def check(self, event: Event) -> None:
        """Raise `LedgerError` unless an event can come next; a session checks before it writes."""
        if isinstance(event, Opened):
            _forbid(self.spec is not None, "a ledger is opened once, and this one was opened before.")
            return
        _forbid(self.spec is None, f"a ledger begins by being opened, this one with {event.kind!r}.")
        match event:
            case Asked():
                self._check_asked(event)
            case Answered():
                self._check_answered(event)
            case Evaluated():
                self._check_evaluated(event)
            case Tuned():
                self._check_tuned(event)

    def _check_asked(self, event: Asked) -> None:
        name, count = f"the query of round {event.round} for {event.purpose!r}", len(event.ids)
        expected = self.round if event.purpose == QUERY else -1
        if self.pending is not None:
            _forbid(not self.due, f"{name} was sealed while another one is unanswered.")
            _forbid(
                event.purpose != self.pending.purpose,
                f"{name} came while {self.due} of {self.pending.purpose!r} were still to be asked one by one.",
            )
            _forbid(event.size != self.due, f"{name} has {event.size} items where {self.due} are still to be asked.")
        _forbid(event.left < 0, f"{name} leaves {event.left} items.")
        _forbid(event.purpose not in PURPOSES, f"{name}: labels can be bought for {', '.join(PURPOSES)}.")
        _forbid(event.round != expected, f"{name} is out of turn, expected round {expected}.")
        _forbid(
            not count or len(set(event.ids)) != count, f"{name} asks for no ids, or for one twice: {event.ids[:5]}."
        )
        known = [i for i in event.ids if i in self.labels or i in self.declined]
        _forbid(bool(known), f"{name} asks for ids that were answered before: {known[:5]}.")
        for words in (event.utility, event.propensity, event.reasons or None):
            _forbid(
                words is not None and len(words) != count, f"{name} has {count} ids, but not as many notes on them."
            )

    def _check_answered(self, event: Answered) -> None:
        pending = self.pending
        name, count = f"the answer to round {event.round} for {event.purpose!r}", len(event.ids)
        _forbid(pending is None, f"{name} came while nothing is being asked.")
        asked = (pending.round, pending.purpose) if pending else None
        _forbid((event.round, event.purpose) != asked, f"{name} came while {asked} is being asked.")
        open_ids = set(self.unanswered)
        stray = [i for i in event.ids if i not in open_ids]
        _forbid(bool(stray), f"{name} has ids that are not being asked, or were answered before: {stray[:5]}.")
        _forbid(not count or len(set(event.ids)) != count, f"{name} has no ids, or one twice: {event.ids[:5]}.")
        _forbid(len(event.labels) != count, f"{name} has {count} ids and {len(event.labels)} labels.")
        _forbid(min(event.labels, default=0) < DECLINED, f"{name} has negative labels: {event.labels[:5]}.")

    def _check_evaluated(self, event: Evaluated) -> None:
        name, pending = f"the test of checkpoint {event.checkpoint}", self.pending
        _forbid(event.checkpoint in self.evaluations, f"{name} was done before.")
        _forbid(event.checkpoint != (pending.round if pending else self.round), f"{name} is out of turn.")
        _forbid(pending is not None and pending.left > 0, f"{name} came before its query was fully asked.")
        count = self.count(before=event.checkpoint)
        _forbid(event.n_labels != count, f"{name} counts {event.n_labels} labels where {count} were charged.")

    def _check_tuned(self, event: Tuned) -> None:
        name = f"the search for settings of checkpoint {event.checkpoint}"
        trained = len(self.charged) - self.spent[VALIDATION]
        _forbid(event.checkpoint in self.tuning, f"{name} was noted before.")
        _forbid(event.checkpoint in self.evaluations, f"{name} came after its test.")
        _forbid(not 0 <= event.checkpoint <= self.round or not trained, f"{name} is out of turn.")
        _forbid(min(event.trials, event.fits, event.updates) < 0, f"{name} has a negative cost.")
        _forbid(event.reused and bool(event.trials or event.fits), f"{name} was reused and still cost something.")
        _forbid(event.trials > 0 and event.fits < event.trials, f"{name} has fewer fits than trials.")
        _forbid(
            event.validation not in (0, self.spent[VALIDATION]),
            f"{name} counts {event.validation} labels for validation where {self.spent[VALIDATION]} were charged.",
        )
        _forbid(event.value is not None and not 0 <= event.value <= 1, f"{name} has the value {event.value}.")

    def _answer(self, event: Answered) -> None:
        for i, label in zip(event.ids, event.labels, strict=True):
            if label == DECLINED:
                self.declined.add(i)
            else:
                self.labels[i] = label
                self.charged[i] = event.purpose
                self.spent[event.purpose] += 1
        if self.pending is not None and not self.pending.left and not self.unanswered:
            self.pending = None

    @property
    def unanswered(self) -> tuple[int, ...]:
        """The ids of the pending query that still wait for an answer, in pick order."""
        if self.pending is None:
            return ()
        return tuple(i for i in self.pending.ids if i not in self.labels and i not in self.declined)

    @property
    def due(self) -> int:
        """How many items of the pending query are still to be asked one by one; 0 while one waits for its answer."""
        return 0 if self.pending is None or self.unanswered else self.pending.left

    @property
    def round(self) -> int:
        """Number of the next query: how many were fully answered."""
        return sum(q.purpose == QUERY for q in self.asked) - (
            self.pending is not None and self.pending.purpose == QUERY
        )

    def known(self, validation: bool = False, *, before: int | None = None) -> tuple[Ids, Labels]:
        """Return ids, ascending, and their labels: those for training, or those of the validation set.

        Args:
            validation: which of the two.
            before: leave out what was bought by the query of this round and by later ones.
        """
        later = self._of_queries_from(before)
        bought = (i for i, why in self.charged.items() if (why == VALIDATION) == validation and i not in later)
        ids = np.array(sorted(bought), dtype=np.int64)
        return ids, np.array([self.labels[int(i)] for i in ids], dtype=np.int64)

    def taken(self, *, before: int | None = None) -> Ids:
        """Return the ids, in no order, that were answered or declined: no candidates any more."""
        later = self._of_queries_from(before)
        return np.array([i for i in (*self.labels, *self.declined) if i not in later], dtype=np.int64)

    def count(self, *, before: int) -> int:
        """Return how many labels were charged, whatever for, before the query of a round."""
        return len(self.charged.keys() - self._of_queries_from(before))

    def _of_queries_from(self, first: int | None) -> set[int]:
        if first is None:
            return set()
        return {i for asked in self.asked if asked.purpose == QUERY and asked.round >= first for i in asked.ids}


def _forbid(broken: bool, words: str) -> None:
    if broken:
        raise LedgerError(words)
