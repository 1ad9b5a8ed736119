"""Evidence: exactly what a strategy declared, typed, checked once and read-only."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from querist.arrays import Ids, Rows, as_ids, readonly, some
from querist.errors import DataError, NeedError
from querist.evidence.needs import Frame, Need

T = TypeVar("T")


class Evidence:
    """What is known about the rows a strategy chooses from.

    Args:
        candidates: ids that may be picked, ascending.
        values: one value per declared need, rows in the order of the need's frame.
        labelled: ids whose labels were bought, ascending.
        targets: ids of the frame ``targets``, ascending.
        c: number of declared classes.

    Raises:
        DataError: a value is not what its need says, ids do not ascend, or a candidate is labelled.
    """

    def __init__(
        self,
        candidates: Ids,
        values: Mapping[Need[Any], Any],
        *,
        labelled: Ids | None = None,
        targets: Ids | None = None,
        c: int,
    ) -> None:
        none = np.empty(0, dtype=np.int64)
        self._frames: dict[str, Ids] = {
            "candidates": _ascending(candidates, "candidates"),
            "labelled": _ascending(none if labelled is None else labelled, "labelled ids"),
            "targets": _ascending(none if targets is None else targets, "targets"),
        }
        at = np.searchsorted(self.candidates, self.labelled)
        both = self.labelled[self.labelled == np.append(self.candidates, -1)[at]]
        if len(both):
            raise DataError(f"Expected candidates to be unlabelled, but ids {some(both)} are labelled.")
        self.c = c
        self._values = {need: need.check(value, self.ids(need.frame), c) for need, value in values.items()}

    @property
    def candidates(self) -> Ids:
        """Ids that may be picked, ascending; row i of a candidate need belongs to ``candidates[i]``."""
        return self._frames["candidates"]

    @property
    def labelled(self) -> Ids:
        """Ids whose labels were bought, ascending."""
        return self._frames["labelled"]

    @cached_property
    def all(self) -> Ids:
        """Candidates and labelled ids together, ascending."""
        return readonly(np.union1d(self.candidates, self.labelled))

    @property
    def needs(self) -> frozenset[Need[Any]]:
        """What can be read."""
        return frozenset(self._values)

    def ids(self, frame: Frame) -> Ids:
        """Return the ids of a frame, ascending."""
        return self.all if frame == "all" else self._frames[frame]

    def rows(self, frame: Frame) -> Rows:
        """Return where the ids of a frame stand inside the frame ``all``."""
        return np.searchsorted(self.all, self.ids(frame))

    def __getitem__(self, need: Need[T]) -> T:
        """Return the value of a declared need.

        Raises:
            NeedError: the need was not declared.
        """
        try:
            return self._values[need]
        except KeyError:
            declared = ", ".join(map(str, self._values)) or "nothing"
            raise NeedError(f"{need} was read but not declared. Declared: {declared}. Add it to `needs`.") from None

    def cut(self, rows: Rows) -> "Evidence":
        """Return the evidence about fewer candidates; other frames are shared, not copied."""
        part = object.__new__(Evidence)
        part._frames = {**self._frames, "candidates": readonly(self.candidates[rows])}
        part.c = self.c
        part._values = {
            need: need.cut(value, rows) if need.frame == "candidates" else value for need, value in self._values.items()
        }
        # The frame "all" stays that of the whole, for values on it are shared.
        part.__dict__["all"] = self.all
        return part

    def stream(self, rows: int) -> Iterator["Evidence"]:
        """Yield the evidence in chunks of at most `rows` candidates, ascending by id."""
        for start in range(0, len(self.candidates), rows):
            yield self.cut(np.arange(start, min(start + rows, len(self.candidates))))


def _ascending(ids: Ids, what: str) -> Ids:
    # Not sorted here: the rows that came with the ids would stay behind.
    ids = as_ids(ids, what=what)
    falls = np.flatnonzero(ids[1:] < ids[:-1])
    if len(falls):
        raise DataError(f"Expected {what} to ascend, got {ids[falls[0] + 1]} after {ids[falls[0]]}.")
    return readonly(ids)
