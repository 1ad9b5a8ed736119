"""Hugging Face datasets from local files: what ``save_to_disk`` wrote, or Parquet files as on the hub."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from querist.arrays import Ids, SealedArray
from querist.data.columns import SPLIT_NAMES, class_numbers, draw_test
from querist.data.dataset import Dataset, SetAside, register
from querist.data.images.decode import Pixels, Refused, decode, strictly
from querist.data.images.near import leave_out_near_copies
from querist.data.images.prints import square
from querist.data.manifest import POOL, SPLITS, TEST, Manifest
from querist.data.memory import content_digest
from querist.errors import DataError
from querist.progress import tell


@register("huggingface")
def huggingface(
    path: str,
    image: str = "image",
    label: str = "label",
    classes: tuple[str, ...] | None = None,
    size: int = 64,
    near_copies: Literal["keep", "leave_out"] = "keep",
    test_share: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Images of a Hugging Face dataset in local files; nothing is fetched, and the library is not needed.

    Splits are told by the names of folders or of files (``train``, ``validation``, ``test``, as in
    ``data/train-00000-of-00001.parquet``); what has no such name is pool. Class names come from the dataset's own
    features. An image that cannot be decoded is set aside with its reason.

    Args:
        path: a folder written by ``save_to_disk``, a folder of Parquet files, or one Parquet file.
        image: column of encoded images.
        label: column of class numbers or names; where it is missing, nothing is labelled.
        classes: class names in order, if the dataset does not name them.
        size: side of the items, squares cut from the middle; encoders and people see the images as they are.
        near_copies: ``"leave_out"`` takes pool items that look like an earlier one out of the pool and sets them aside.
        test_share: share of the labelled pool to draw as test split, if there is none.
        split_seed: seed of that draw.

    Raises:
        DataError: no such files, no such column, labels that are no classes, or no image that can be read.
    """
    source = Path(path)
    parts = [(split, table(file, (image, label))) for split, file in _files(source)]
    for _, part in parts:
        if image not in part.column_names or not _is_encoded(part.schema.field(image).type):
            raise DataError(
                f"{source}: expected a column {image!r} of encoded images, got the columns "
                f"{', '.join(f'{f.name} ({f.type})' for f in part.schema)}. Name it: image='...'."
            )
    columns = [part.column(image).combine_chunks() for _, part in parts]
    places = [(part, row) for part, column in enumerate(columns) for row in range(len(column))]
    names = _numbered([split for split, _ in parts], [len(column) for column in columns])
    kept, hashes, aside = _readable(columns, places, names)
    if not kept:
        raise DataError(f"{source}: none of {len(places)} images can be read; the first: {aside[0].reason}.")
    labels = [
        value
        for _, part in parts
        for value in (part.column(label).to_pylist() if label in part.column_names else [None] * len(part))
    ]
    y, declared = class_numbers(
        [labels[i] for i in kept], len(kept), classes or _class_names(parts[0][1], label), str(source)
    )
    split = np.array([SPLITS.index(SPLIT_NAMES[parts[places[i][0]][0]]) for i in kept], dtype=np.int8)
    if test_share is not None:
        if (split == SPLITS.index(TEST)).any():
            raise DataError(f"{source}: there is a test split already; leave out test_share.")
        split = draw_test(split, y, test_share, split_seed, str(source))
    items = EncodedImages(columns, [places[i] for i in kept], hashes, size)
    dataset = Dataset(
        manifest=Manifest(source.stem, tuple(names[i] for i in kept), split, declared),
        items=items,
        labels=SealedArray(y),
        label_fingerprint=content_digest(y),
        picture=items.picture,
        set_aside=tuple(aside),
    )
    return leave_out_near_copies(dataset) if near_copies == "leave_out" else dataset


class EncodedImages:
    """Images in columns of bytes, decoded whenever they are asked for.

    Args:
        columns: structs with the field ``bytes``.
        places: column and row of every item.
        hashes: SHA-256 of every item.
        size: side of the items.
    """

    def __init__(self, columns: Sequence[Any], places: Sequence[tuple[int, int]], hashes: Sequence[str], size: int):
        self._columns, self._places, self._size = columns, places, size
        self.fingerprint = sha256(f"{size} {' '.join(hashes)}".encode()).hexdigest()[:32]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, ids: Ids) -> npt.NDArray[np.uint8]:
        items = np.empty((len(ids), self._size, self._size, 3), dtype=np.uint8)
        for row, item in enumerate(ids.tolist()):
            items[row] = np.asarray(square(Image.fromarray(self.picture(item)), self._size))
        return items

    def picture(self, item: int) -> Pixels:
        """Return an item in its own size, ``(h, w, 3)``."""
        part, row = self._places[item]
        return decode(_bytes(self._columns[part], row))


def table(file: Path, columns: Sequence[str]) -> pa.Table:
    """Return some columns of an Arrow stream, memory-mapped, or of a Parquet file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        if file.suffix == ".parquet":
            present = [name for name in columns if name in pq.read_schema(file).names]
            return pq.read_table(file, columns=present)
        whole = pa.ipc.open_stream(pa.memory_map(str(file))).read_all()
        return whole.select([name for name in columns if name in whole.column_names])
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{file}: cannot be read ({error}).") from error


def _files(source: Path) -> list[tuple[str, Path]]:
    """Return the files with the name of the split of each, in the order of splits, then of paths."""
    found = [source] if source.is_file() else sorted(p for s in ("*.arrow", "*.parquet") for p in source.rglob(s))
    if not found:
        raise DataError(
            f"{source}: expected a folder written by save_to_disk, or Parquet files; found no .arrow or .parquet file."
        )
    return sorted(
        ((_split(file, source), file) for file in found), key=lambda entry: SPLITS.index(SPLIT_NAMES[entry[0]])
    )


def _split(file: Path, source: Path) -> str:
    words = [file.stem.split("-")[0], *(part.name for part in file.parents if part.is_relative_to(source))]
    return next((word for word in words if word in SPLIT_NAMES), POOL)


def _numbered(splits: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """Return one key per row, counted within each split over all its files."""
    keys: list[str] = []
    counts = dict.fromkeys(splits, 0)
    for split, length in zip(splits, lengths, strict=True):
        keys += [f"{split}/{counts[split] + row}" for row in range(length)]
        counts[split] += length
    return keys


def _readable(
    columns: Sequence[Any], places: Sequence[tuple[int, int]], names: Sequence[str]
) -> tuple[list[int], list[str], list[SetAside]]:
    """Return which images can be decoded, their hashes, and the others with their reasons."""
    kept: list[int] = []
    hashes: list[str] = []
    aside: list[SetAside] = []
    with strictly():
        for i, (part, row) in enumerate(places):
            try:
                data = _bytes(columns[part], row)
                decode(data)
            except Refused as refusal:
                aside.append(SetAside(names[i], str(refusal)))
            else:
                kept.append(i)
                hashes.append(sha256(data).hexdigest())
            if not i % 64:
                tell("reading images", i, len(places))
    tell("reading images", len(places), len(places))
    return kept, hashes, aside


def _bytes(column: Any, row: int) -> bytes:
    data = column.field("bytes")[row].as_py() if column[row].is_valid else None
    if data is None:
        raise Refused("no image: the row holds no bytes (a dataset of paths cannot be read from elsewhere)")
    return data


def _is_encoded(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds encoded images, as the library's feature `Image` stores them."""
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    inner = kind.field("bytes").type
    return pa.types.is_binary(inner) or pa.types.is_large_binary(inner) or pa.types.is_null(inner)


def _class_names(part: pa.Table, label: str) -> tuple[str, ...] | None:
    stored = json.loads((part.schema.metadata or {}).get(b"huggingface", b"{}"))
    names = stored.get("info", {}).get("features", {}).get(label, {}).get("names")
    return tuple(names) if names else None
