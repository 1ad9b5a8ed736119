"""Near copies among the pictures of a dataset: which pool items look like another one, or like a test item."""

import logging
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image

from querist.arrays import Hashes, Ids, Rows
from querist.data.dataset import Dataset, SetAside
from querist.data.images.decode import Pixels
from querist.data.images.items import ImageItems
from querist.data.images.prints import SIDE, take_print
from querist.data.manifest import LEFT_OUT, SPLITS, VALIDATION, Manifest
from querist.errors import DataError
from querist.kernels.near_copies import first_copies

log = logging.getLogger(__name__)
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class NearCopies:
    """Pairs of ids: an item of the pool, and what it is a near copy of.

    Attributes:
        pool: the first item of the pool it looks like that is itself no copy; labelling one of them is enough.
        leaks: the first test or validation item it looks like; learning from it flatters the test.
    """

    pool: tuple[Pair, ...]
    leaks: tuple[Pair, ...]


def near_copies(dataset: Dataset) -> NearCopies:
    """Return the near copies in a dataset of pictures; the rule is that of `querist.kernels.near_copies`.

    Args:
        dataset: from image files, whose prints are remembered; or any other with pictures, all of which are looked at.

    Raises:
        DataError: the items are no pictures.
    """
    hash_N, thumb_N, row_N = _prints(dataset)

    def look(ids: Ids, held: int | None) -> Rows:
        return first_copies(hash_N[ids], thumb_N, row_N[ids], held=held)

    test = np.sort(np.concatenate([dataset.test, dataset.manifest.ids(VALIDATION)]))
    return NearCopies(
        pool=_pairs(dataset.pool, dataset.pool, look(dataset.pool, None)),
        leaks=_pairs(dataset.pool, test, look(np.concatenate([test, dataset.pool]), len(test))[len(test) :]),
    )


def leave_out_near_copies(dataset: Dataset) -> Dataset:
    """Return the dataset without those items of the pool that are near copies of one that stays; they are set aside.

    Likeness to test items changes nothing, since it would make the pool depend on them; a warning tells of it.
    """
    found, named = near_copies(dataset), dataset.paths or dataset.manifest.keys
    if found.leaks:
        item, test = found.leaks[0]
        log.warning(
            "%s: %d items of the pool look like test or validation items, e.g. %s like %s; results on these flatter.",
            dataset.name, len(found.leaks), named[item], named[test],
        )  # fmt: skip
    if not found.pool:
        return dataset
    split = dataset.manifest.split.copy()
    split[[item for item, _ in found.pool]] = SPLITS.index(LEFT_OUT)
    manifest = Manifest(dataset.name, dataset.manifest.keys, split, dataset.classes)
    aside = [SetAside(named[item], f"near copy of {named[of]}") for item, of in found.pool]
    return replace(dataset, manifest=manifest, set_aside=tuple(sorted([*dataset.set_aside, *aside])))


def _pairs(ids: Ids, of: Ids, first: Rows) -> tuple[Pair, ...]:
    copies = np.flatnonzero(first >= 0)
    return tuple(zip(ids[copies].tolist(), of[first[copies]].tolist(), strict=True))


def _prints(dataset: Dataset) -> tuple[Hashes, Pixels, Rows]:
    """Return one hash per item, thumbnails, and which of them belongs to which item."""
    items = dataset.items
    if isinstance(items, ImageItems):
        return items.hashes, items.proofs, items.rows
    if dataset.picture is None:
        raise DataError(f"the items of {dataset.name!r} are no pictures, so they have no near copies that one can see.")
    n = len(items)
    hash_N, thumb_N = np.empty(n, np.uint64), np.empty((n, SIDE, SIDE, 3), np.uint8)
    for item in range(n):
        image = dataset.picture(item)
        taken = take_print(Image.fromarray(image).convert("RGB"), SIDE)
        hash_N[item], thumb_N[item] = taken.hash, taken.proof
    return hash_N, thumb_N, np.arange(n)
