"""A dataset: a manifest, its items, and labels under seal."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from querist.arrays import Ids, SealedArray
from querist.data.manifest import POOL, TEST, Manifest
from querist.errors import DataError
from querist.registry import Registry, digest


class Items(Protocol):
    """The raw items of a dataset: feature vectors, images, anything with a fixed shape."""

    @property
    def fingerprint(self) -> str:
        """Digest of the content."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, ids: Ids) -> npt.NDArray[Any]:
        """Return the items of `ids`, ``(n, ...)``."""
        ...


class SetAside(NamedTuple):
    """A file that is no item, or an item that is left out of the pool, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Items with declared classes and sealed labels.

    Attributes:
        manifest: which items there are.
        items: their content.
        labels: one class number per item under seal, -1 where none is known.
        label_fingerprint: digest of the labels, taken when they were sealed.
        picture: returns an item as an image ``(h, w)`` or ``(h, w, 3)`` uint8 for people to look at, if it is one.
        paths: where the file of each item is, if there are files; for reports, no part of any fingerprint.
        set_aside: what the source holds beside the pool and the test items, and why it is not among them.
    """

    registry: ClassVar["Registry[Dataset]"]

    manifest: Manifest
    items: Items
    labels: SealedArray
    label_fingerprint: str
    picture: Callable[[int], npt.NDArray[np.uint8]] | None = None
    paths: tuple[str, ...] | None = None
    set_aside: tuple[SetAside, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.manifest) == len(self.items) == len(self.labels):
            raise DataError(
                f"Expected one item and one label per manifest row, got {len(self.items)} items and "
                f"{len(self.labels)} labels for {len(self.manifest)} rows."
            )

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def c(self) -> int:
        """Number of declared classes."""
        return len(self.manifest.classes)

    @cached_property
    def pool(self) -> Ids:
        """Ids that can be bought, ascending."""
        return self.manifest.ids(POOL)

    @cached_property
    def test(self) -> Ids:
        """Ids whose labels only the evaluator reads, ascending."""
        return self.manifest.ids(TEST)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything a result depends on: manifest, items and labels."""
        return digest([self.manifest.fingerprint, self.items.fingerprint, self.label_fingerprint])


datasets: Registry[Dataset] = Registry("dataset", "querist.data")
Dataset.registry = datasets
register = datasets.register
