"""The frozen list of items that every id of a project refers to."""

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from querist.arrays import Ids, readonly, some
from querist.errors import DataError

POOL, TEST, VALIDATION, LEFT_OUT = "pool", "test", "validation", "left_out"
SPLITS = (POOL, TEST, VALIDATION, LEFT_OUT)


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
    keys: tuple[str, ...]
    split: npt.NDArray[np.int8]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.split):
            raise DataError(f"Expected one split per item, got {len(self.split)} splits for {len(self.keys)} items.")
        if len(set(self.keys)) != len(self.keys):
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
        # JSON, for joined keys could be split in two ways.
        parts = [json.dumps(self.keys).encode(), self.split.tobytes(), json.dumps(self.classes).encode()]
        return sha256(b"\x1e".join(sha256(part).digest() for part in parts)).hexdigest()[:32]
