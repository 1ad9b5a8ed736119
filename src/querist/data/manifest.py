"""The frozen list of items that every id of a project refers to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import overload

import numpy as np
import numpy.typing as npt

from querist.arrays import Ids, readonly, some
from querist.errors import DataError

POOL, TEST, VALIDATION, LEFT_OUT = "pool", "test", "validation", "left_out"
SPLITS = (POOL, TEST, VALIDATION, LEFT_OUT)

HASHED = 65_536
"""Keys that are written out at a time for the fingerprint."""


class NumberedKeys(Sequence[str]):
    """The keys ``prefix/0``, ``prefix/1``, ... of `n` items, made when they are looked at: a million takes no memory.

    >>> NumberedKeys("row", 3)[1:]
    ('row/1', 'row/2')
    """

    def __init__(self, prefix: str, n: int) -> None:
        self._prefix, self._numbers = prefix, range(n)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(f"{self._prefix}/{i}" for i in self._numbers[place])
        return f"{self._prefix}/{self._numbers[place]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


@dataclass(frozen=True, eq=False)
class Manifest:
    """Items in a fixed order; an id is a position in it.

    Attributes:
        name: what the set is called in specs and reports.
        keys: one distinct string per item, stable under renaming and re-reading.
        split: ``(N,)`` positions in `SPLITS`.
        classes: the declared class names in order; class numbers are positions in it. Never inferred from labels.

    Raises:
        DataError: repeated keys, unknown splits, fewer than two classes, or lengths that differ.
    """

    name: str
    keys: Sequence[str]
    split: npt.NDArray[np.int8]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.split):
            raise DataError(f"Expected one split per item, got {len(self.split)} splits for {len(self.keys)} items.")
        if not isinstance(self.keys, NumberedKeys) and len(set(self.keys)) != len(self.keys):
            keys, counts = np.unique(np.array(self.keys), return_counts=True)
            raise DataError(f"Expected distinct ids, but {some(keys[counts > 1])} occur more than once.")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise DataError(f"Expected at least two distinct declared classes, got {list(self.classes)}.")
        if len(self.split) and not (self.split.min() >= 0 and self.split.max() < len(SPLITS)):
            raise DataError(f"Expected splits to be positions in {SPLITS}, got {some(np.unique(self.split))}.")
        object.__setattr__(self, "split", readonly(np.asarray(self.split, dtype=np.int8)))

    def __len__(self) -> int:
        return len(self.keys)

    def ids(self, split: str) -> Ids:
        """Return the ids of one split, ascending."""
        return readonly(np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int64))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of keys, splits and classes, in order."""
        parts = [sha256(self.split.tobytes()).digest(), sha256(json.dumps(self.classes).encode()).digest()]
        return sha256(b"\x1e".join([self._digest_of_keys(), *parts])).hexdigest()[:32]

    @cached_property
    def key_fingerprint(self) -> str:
        """Digest of the keys in order: which item every id is, whatever its split and whatever the classes."""
        return self._digest_of_keys().hex()[:32]

    def _digest_of_keys(self) -> bytes:
        # One JSON array, for joined keys could be split in two ways; never whole, for there may be millions.
        state = sha256(b"[")
        for start in range(0, len(self.keys), HASHED):
            text = json.dumps(list(self.keys[start : start + HASHED]))
            state.update(f"{', ' if start else ''}{text[1:-1]}".encode())
        state.update(b"]")
        return state.digest()
