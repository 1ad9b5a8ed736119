"""Two datasets as one: labelled items of the first beside all items of the second, and which of them are the same."""

import re
from collections.abc import Callable, Iterator
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from querist.arrays import Ids, SealedArray
from querist.data.columns import UNLABELLED
from querist.data.dataset import Dataset, Items
from querist.data.manifest import LEFT_OUT, POOL, SPLITS, Manifest
from querist.data.memory import content_digest
from querist.errors import DataError
from querist.progress import tell
from querist.registry import digest

CONTENT = re.compile(r"[0-9a-f]{16,}")
"""Keys that are hashes of what they name, as those of image files are."""
BLOCK = 1024
"""Items that are hashed at a time."""


def joined(first: Dataset, ids: Ids, second: Dataset) -> Dataset:
    """Return a dataset of some items of one dataset, ids 0 to r - 1, and all of another, ids from r on.

    All items of the first and the pool of the second are its pool, which encoders and learners may look at without
    labels; whatever else the second has is left out. Classes are those of the first. It knows no label of either.

    Args:
        first: where the first items are from.
        ids: which, ``(r,)``; may be none.
        second: the other dataset.

    Raises:
        DataError: the items are not of one kind, and are no images that could be looked at in their own sizes.
    """
    pool, out = (np.int8(SPLITS.index(split)) for split in (POOL, LEFT_OUT))
    split = np.concatenate([np.full(len(ids), pool), np.where(second.manifest.split == pool, pool, out)])
    keys = [f"first/{first.manifest.keys[i]}" for i in ids.tolist()] + [f"second/{key}" for key in second.manifest.keys]
    unknown = np.full(len(split), UNLABELLED, np.int64)
    return Dataset(
        manifest=Manifest(f"{first.name}>{second.name}", keys, split, first.classes),
        items=JoinedItems(first, ids, second),
        labels=SealedArray(unknown),
        label_fingerprint=content_digest(unknown),
        picture=_pictures(first, ids, second),
    )


class JoinedItems:
    """Items of two datasets, read where they lie.

    Args:
        first, ids, second: see `joined`.

    Raises:
        DataError: see `joined`.
    """

    def __init__(self, first: Dataset, ids: Ids, second: Dataset) -> None:
        self._first, self._ids, self._second = first, ids, second
        kinds = [_kind(data.items) for data in (first, second)]
        if len(ids) and kinds[0] != kinds[1] and not (first.picture and second.picture):
            shown = " and ".join(
                f"{dtype} of shape {shape} in {data.name!r}"
                for data, (dtype, shape) in zip((first, second), kinds, strict=True)
            )
            raise DataError(f"Expected items of one kind in both sources, got {shown}. Make one like the other.")

    @property
    def fingerprint(self) -> str:
        """Digest of both contents."""
        return digest([self._first.items.fingerprint, content_digest(self._ids), self._second.items.fingerprint])

    def __len__(self) -> int:
        return len(self._ids) + len(self._second.items)

    def __getitem__(self, ids: Ids) -> npt.NDArray[np.generic]:
        ids, r = np.asarray(ids), len(self._ids)
        mine = ids < r
        if not mine.any():
            return self._second.items[ids - r]
        own = self._first.items[self._ids[ids[mine]]]
        if mine.all():
            return own
        other = self._second.items[ids[~mine] - r]
        if (own.dtype, own.shape[1:]) != (other.dtype, other.shape[1:]):
            raise DataError(
                f"items of {self._first.name!r} are {own.dtype} of shape {own.shape[1:]}, those of "
                f"{self._second.name!r} {other.dtype} of shape {other.shape[1:]}. Take an encoder of images, which "
                "looks at each in its own size, or make one like the other."
            )
        both = np.empty((len(ids), *own.shape[1:]), own.dtype)
        both[mine], both[~mine] = own, other
        return both


def copies_in(first: Dataset, ids: Ids, second: Dataset) -> Ids:
    """Return ``(r,)``: for each item of one dataset the id of the same item in another, -1 if it is not there.

    Items are the same if all their values are, in whatever shape and float precision, or if their keys are hashes of
    content and equal. Names and numbers do not count; what was resized, cropped, compressed again or scaled is not
    found. Of several copies one that is not in the pool is returned, for
    its label is the better kept secret.

    Args:
        first: where the items are from.
        ids: which, ``(r,)``.
        second: where to look for them.
    """
    # Those of the pool first, so that the others replace them.
    order = np.argsort(second.manifest.split != SPLITS.index(POOL), kind="stable")
    named = {key: i for i in order.tolist() if CONTENT.fullmatch(key := str(second.manifest.keys[i]))}
    found = np.array([named.get(str(first.manifest.keys[i]), -1) for i in ids.tolist()], np.int64)
    if not len(ids) or (precision := _common(first.items, second.items)) is None:
        return found
    held = dict(zip(_digests(second.items, order, precision, f"looking at {second.name}"), order.tolist(), strict=True))
    same = np.array(
        [held.get(one, -1) for one in _digests(first.items, ids, precision, "looking for copies")], np.int64
    )
    return np.where(found >= 0, found, same)


def _kind(items: Items) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    one = items[np.arange(min(1, len(items)))]
    return one.dtype, one.shape[1:]


def _common(first: Items, second: Items) -> np.dtype[np.generic] | None:
    """Return the precision in which items of both can be compared, None if they cannot."""
    (one, shape), (other, another) = _kind(first), _kind(second)
    if np.prod(shape) != np.prod(another):
        return None
    floats = all(np.issubdtype(dtype, np.floating) for dtype in (one, other))
    return min(one, other, key=lambda dtype: dtype.itemsize) if floats else one if one == other else None


def _digests(items: Items, ids: Ids, dtype: np.dtype[np.generic], what: str) -> Iterator[bytes]:
    for start in range(0, len(ids), BLOCK):
        tell(what, start, len(ids))
        block = items[ids[start : start + BLOCK]]
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(block.reshape(len(block), -1).astype(dtype, copy=False))
        if dtype.kind == "f":
            rows = np.add(rows, 0, dtype=dtype)  # the negative zero is no other number
        for row in rows:
            yield blake2b(row.data, digest_size=16).digest()
    tell(what, len(ids), len(ids))


def _pictures(first: Dataset, ids: Ids, second: Dataset) -> Callable[[int], npt.NDArray[np.uint8]] | None:
    own, other, r = first.picture, second.picture, len(ids)
    if other is None or (own is None and r):
        return None

    def picture(item: int) -> npt.NDArray[np.uint8]:
        return own(int(ids[item])) if own is not None and item < r else other(item - r)

    return picture
