"""The models of a session by round: at hand while they may be asked for, and on disk where they are kept."""

import time
from collections.abc import Callable
from pathlib import Path

from querist.evidence.provider import Model
from querist.labels.book import Book
from querist.labels.events import QUERY
from querist.registry import digest
from querist.session.checkpoints import Checkpoints


class Models:
    """What was fitted so far, as far as it is asked for again.

    Args:
        kept: what is on disk.
        book: of the session.
        looks_back: whether a query may look at its rows with the model of the round before.
        loaded: told the round and the seconds whenever a model is read from disk.
    """

    def __init__(self, kept: Checkpoints, book: Book, looks_back: bool, loaded: Callable[[int, float], None]) -> None:
        self._kept, self._book, self._loaded = kept, book, loaded
        self._at_hand: dict[int, Model] = {}
        self.looks_back = looks_back

    def __getitem__(self, number: int) -> Model:
        """Return the model of a round that is at hand."""
        return self._at_hand[number]

    def get(self, number: int) -> Model | None:
        """Return the model of a round, None if it is not at hand."""
        return self._at_hand.get(number)

    def find(self, number: int) -> bool:
        """Return whether the model of a round is at hand, or on disk and so at hand now."""
        if number not in self._at_hand and self._kept.folder is not None:
            start = time.perf_counter()
            model = self._kept.load(number, self._fit(number))
            if model is not None:
                self._at_hand[number] = model
                self._loaded(number, time.perf_counter() - start)
        return number in self._at_hand

    def enter(self, number: int, model: Model) -> None:
        """Take a model that was fitted, to disk too, and forget those that nothing asks for from now on."""
        self._at_hand[number] = model
        oldest = min(self._oldest, number)
        if self._kept.folder is not None:
            self._kept.save(number, self._fit(number), model, self._book.spec or {}, oldest)
        self._forget(oldest)

    def room(self, number: int) -> Path | None:
        """Return where the fit of a round may keep its progress; None: nowhere."""
        return None if self._kept.folder is None else self._kept.room(number, self._fit(number))

    def settle(self) -> None:
        """Forget models that the present round does not ask for; not to be called where later ones start from them."""
        self._forget(self._oldest)

    def leave(self) -> None:
        """Clean up on disk: all that was to be done in the present round is done."""
        self._kept.leave(self._oldest)

    @property
    def _oldest(self) -> int:
        return self._book.round - self.looks_back

    def _forget(self, oldest: int) -> None:
        self._at_hand = {number: model for number, model in self._at_hand.items() if number >= oldest}

    def _fit(self, number: int) -> str:
        """Digest of all that the fit of a round depends on: the settings, and what was bought before it, in order."""
        bought = [
            [asked.purpose, asked.ids, [self._book.labels.get(i) for i in asked.ids]]
            for asked in self._book.asked
            if asked.purpose != QUERY or asked.round < number
        ]
        return digest([self._book.spec, number, bought])
