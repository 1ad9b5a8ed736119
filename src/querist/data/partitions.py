"""Stored partitions: which items are pool, test, validation and initial pool, tied to one manifest."""

import io
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Ids, as_ids, readonly, some
from querist.data.dataset import Dataset
from querist.data.files import read_npz
from querist.data.manifest import LEFT_OUT, POOL, SPLITS, TEST, VALIDATION, Manifest
from querist.errors import DataError
from querist.files import write_bytes
from querist.registry import digest
from querist.seeds import Seed

FORMAT = 1
PARTS = ("pool", "test", "validation", "initial")


def _no_ids() -> Ids:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """Four disjoint parts of a manifest; items in none of them are left out.

    Attributes:
        manifest: the items the ids refer to, with the splits they had when the partition was drawn.
        seed: where its randomness came from.
        rule: how it was drawn, in a word.
        pool: ids that can be bought, without `initial`, in any order.
        test: ids whose labels only the evaluator reads.
        validation: ids of the validation set.
        initial: ids labelled first, in the order of picking.

    Raises:
        DataError: ids repeated, out of range, or in two parts; names them.
    """

    manifest: Manifest
    seed: Seed
    rule: str
    pool: Ids
    test: Ids
    validation: Ids = field(default_factory=_no_ids)
    initial: Ids = field(default_factory=_no_ids)

    def __post_init__(self) -> None:
        for part in PARTS:
            ids = as_ids(getattr(self, part), len(self.manifest), what=f"{part} ids of the partition")
            object.__setattr__(self, part, readonly(ids))
        for one, other in combinations(PARTS, 2):
            both = np.intersect1d(getattr(self, one), getattr(self, other))
            if len(both):
                raise DataError(f"Expected disjoint parts, but {some(both)} are in both {one} and {other}.")

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the manifest and the four parts: the key by which runs are paired."""
        return digest([self.manifest.fingerprint, *(getattr(self, part).tolist() for part in PARTS)])


def draw_partition(
    manifest: Manifest, seed: Seed, *, test: int = 0, validation: int = 0, initial: int = 0
) -> Partition:
    """Return a partition drawn at random from the pool of `manifest`; its test and validation splits are kept.

    Each part takes the items of smallest keyed hash under its own address, in the order test, validation, initial. So
    a larger initial pool contains the smaller one, and a validation set does not change the test set.

    Args:
        manifest: the items.
        seed: of the draw.
        test: number of pool items to add to the test split.
        validation: number of pool items to add to the validation split.
        initial: size of the initial pool.

    Raises:
        DataError: the pool is too small.
    """
    left = manifest.ids(POOL)
    if min(test, validation, initial) < 0 or test + validation + initial > len(left):
        raise DataError(
            f"Expected sizes of 0 or larger that the {len(left)} items of the pool can fill, got "
            f"test={test}, validation={validation}, initial={initial}."
        )
    drawn: dict[str, Ids] = {}
    for part, count in (("test", test), ("validation", validation), ("initial", initial)):
        drawn[part] = left[np.argsort(seed.child("partition", part).key().hash(left))[:count]]
        left = np.setdiff1d(left, drawn[part])
    return Partition(
        manifest=manifest,
        seed=seed,
        rule="random",
        pool=left,
        test=np.union1d(manifest.ids(TEST), drawn["test"]),
        validation=np.union1d(manifest.ids(VALIDATION), drawn["validation"]),
        initial=drawn["initial"],
    )


def apply_partition(dataset: Dataset, partition: Partition) -> Dataset:
    """Return the dataset with the splits of a partition; its initial pool is part of the pool again.

    Raises:
        DataError: the partition belongs to another manifest; names the first difference.
    """
    _require_same(_snapshot(partition.manifest), dataset.manifest, "the partition")
    split = np.full(len(dataset.manifest), SPLITS.index(LEFT_OUT), dtype=np.int8)
    for ids, name in (
        (partition.pool, POOL), (partition.initial, POOL), (partition.test, TEST), (partition.validation, VALIDATION),
    ):  # fmt: skip
        split[ids] = SPLITS.index(name)
    return replace(dataset, manifest=replace(dataset.manifest, split=split))


def write_partition(path: str | Path, partition: Partition) -> None:
    """Write a partition as an .npz file, the same bytes for the same partition.

    Raises:
        StoreError: the file cannot be written; what was there before is untouched.
    """
    about = {
        "format": FORMAT,
        "fingerprint": partition.fingerprint,
        "manifest": partition.manifest.fingerprint,
        "classes": list(partition.manifest.classes),
        "rule": partition.rule,
        "seed": [partition.seed.entropy, *partition.seed.path],
    }
    snapshot = _snapshot(partition.manifest)
    buffer = io.BytesIO()
    np.savez(
        buffer, about=np.array(json.dumps(about)), key_hashes=snapshot.keys, split=snapshot.split,
        **{part: getattr(partition, part) for part in PARTS},
    )  # fmt: skip
    write_bytes(Path(path), buffer.getvalue())


def read_partition(path: str | Path, manifest: Manifest) -> Partition:
    """Return the partition stored in a file, verified against the manifest it is to be used with.

    Raises:
        DataError: no such file, damaged, of another format version, parts that overlap, repeat or leave the range, or
            a partition of another manifest (names the first difference).
    """
    path = Path(path)
    arrays = read_npz(path)
    try:
        about: dict[str, Any] = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise DataError(
                f"{path}: a partition of format {about['format']}, this version reads format {FORMAT}. "
                "Read it with the version that wrote it."
            )
        stored = _Snapshot(about["manifest"], tuple(about["classes"]), arrays["key_hashes"], arrays["split"])
        _require_same(stored, manifest, str(path))
        partition = Partition(
            manifest=manifest, seed=Seed(about["seed"][0], tuple(about["seed"][1:])), rule=about["rule"],
            **{part: arrays[part] for part in PARTS},
        )  # fmt: skip
    except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: expected a stored partition, but it lacks {error}.") from error
    if partition.fingerprint != about["fingerprint"]:
        raise DataError(f"{path}: its parts were changed after it was written. Take the original file.")
    return partition


@dataclass(frozen=True)
class _Snapshot:
    """As much of a manifest as it takes to name its first difference from another one."""

    fingerprint: str
    classes: tuple[str, ...]
    keys: npt.NDArray[np.uint64]
    split: npt.NDArray[np.int8]


def _snapshot(manifest: Manifest) -> _Snapshot:
    words = b"".join(blake2b(key.encode(), digest_size=8).digest() for key in manifest.keys)
    return _Snapshot(manifest.fingerprint, manifest.classes, np.frombuffer(words, "<u8"), manifest.split)


def _require_same(stored: _Snapshot, manifest: Manifest, where: str) -> None:
    """Raise `DataError` with the first difference between the manifest of a partition and the one at hand."""
    if stored.fingerprint == manifest.fingerprint:
        return
    now = _snapshot(manifest)
    difference = "the fingerprints differ, though keys, splits and classes seem equal: the file is damaged"
    if len(stored.keys) != len(now.keys):
        difference = f"it was drawn from {len(stored.keys)} items, {manifest.name!r} has {len(now.keys)}"
    elif stored.classes != now.classes:
        difference = f"it was drawn with the classes {list(stored.classes)}, {manifest.name!r} has {list(now.classes)}"
    elif (stored.keys != now.keys).any():
        row = int(np.flatnonzero(stored.keys != now.keys)[0])
        difference = f"item {row} was another one, now its key is {manifest.keys[row]!r}"
    elif (stored.split != now.split).any():
        row = int(np.flatnonzero(stored.split != now.split)[0])
        difference = (
            f"item {row} ({manifest.keys[row]!r}) was in split {SPLITS[stored.split[row]]!r}, "
            f"now it is in {SPLITS[now.split[row]]!r}"
        )
    raise DataError(f"{where} does not belong to the dataset {manifest.name!r}: {difference}. Draw it anew.")
