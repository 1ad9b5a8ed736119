"""The dataset ``image_list``: image files named by a CSV, Parquet or JSONL manifest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from querist.data.columnfiles import Columns, read_csv, read_parquet
from querist.data.columns import class_numbers, split_codes
from querist.data.dataset import Dataset, register
from querist.data.files import as_labels, refuse_near_misses
from querist.data.images.collect import Entry, collect
from querist.data.images.ingest import cache_folder, ingest
from querist.data.images.prints import require_size
from querist.data.images.walk import Found, Passed, by_bytes, look_at
from querist.errors import DataError

TEXT = ("id", "path", "label", "split")


@register("image_list")
def image_list(
    path: str,
    classes: tuple[str, ...] | None = None,
    size: int = 64,
    near_copies: Literal["keep", "leave_out"] = "keep",
    test_share: float | None = None,
    split_seed: int = 0,
    cache: str | None = None,
) -> Dataset:
    """Image files named by a manifest, one line each, with the columns id, path, label and split.

    Only ``path`` is required: relative to the manifest, or absolute. ``id``: a distinct name per item that never
    changes; without it the content names the item, as in `folder`. ``label`` and ``split`` are those of the dataset
    `table`; a JSONL manifest has one object per line with these keys, and null or no key where nothing is known. Files
    are read, remembered and set aside as in `folder`; here a missing file is one more reason.

    Args:
        path: the manifest, ``.csv``, ``.parquet`` or ``.jsonl``.
        classes: class names in order; default the labels that occur, sorted.
        size: side of the items in pixels.
        near_copies: as in `folder`.
        test_share: share of the labelled pool to draw as test split, if there is no column ``split``.
        split_seed: seed of that draw.
        cache: where to remember what was read; default ``ingest`` in the store.

    Raises:
        DataError: the manifest is missing, damaged, names a file twice or an id twice, has unknown splits or labels;
            or no file it names is an image (lists the reasons).
        UndeclaredClassesError: nothing is labelled and there are no `classes`.
        StoreError: the cache cannot be written; what was read is not lost.
    """
    source = Path(path)
    require_size(size)
    columns = _read(source)
    text, where = columns.text, str(source)
    refuse_near_misses(columns.names, [name for name in TEXT if name not in columns.names], where)
    if "path" not in text:
        raise DataError(f"{where}: expected a column 'path', got {', '.join(columns.names) or 'nothing'}.")
    paths = text["path"]
    n = len(paths)
    _require_distinct(paths, "path", where)
    if "id" in text:
        _require_distinct(text["id"], "id", where)
    labels, declared = class_numbers(as_labels(text["label"], classes) if "label" in text else None, n, classes, where)
    splits = split_codes(text.get("split"), n, where)
    files: list[Found] = []
    passed: list[Passed] = []
    for name in paths:
        thing = look_at(name, source.parent / name)
        if isinstance(thing, Found):
            files.append(thing)
        else:
            passed.append(thing)
    ingested = ingest(source.parent, files, size, cache_folder(cache))
    line = {name: i for i, name in enumerate(paths)}
    ids = text.get("id", [""] * n)
    entries = [
        Entry(record, int(labels[i]), int(splits[i]), ids[i])
        for record in ingested.pictures for i in (line[record.path],)
    ]  # fmt: skip
    return collect(
        source.parent, source.stem, ingested, entries, sorted([*passed, *ingested.passed], key=by_bytes), declared,
        near_copies=near_copies, test_share=test_share, split_seed=split_seed,
    )  # fmt: skip


def _require_distinct(values: Sequence[str], column: str, where: str) -> None:
    seen: dict[str, int] = {}
    for row, value in enumerate(values):
        if not value:
            raise DataError(f"{where}: row {row} has no {column}.")
        if value in seen:
            raise DataError(f"{where}: rows {seen[value]} and {row} have the same {column} {value!r}.")
        seen[value] = row


def _read(source: Path) -> Columns:
    suffix = source.suffix.lower()
    if suffix == ".csv":
        return read_csv(source, TEXT)
    if suffix in (".parquet", ".pq"):
        return read_parquet(source, TEXT)
    if suffix == ".jsonl":
        return _read_jsonl(source)
    raise DataError(f"{source}: expected a manifest that ends in .csv, .parquet or .jsonl.")


def _read_jsonl(source: Path) -> Columns:
    """Return the text columns of a file with a JSON object per line; "" where a key is missing or null."""
    rows: list[dict[str, object]] = []
    try:
        lines = source.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError(f"{source}: there is no such file; expected a JSONL manifest.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: cannot be read as UTF-8 text ({error}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{source}, line {number}: cannot be read as JSON ({error}).") from None
        if not isinstance(row, dict):
            raise DataError(f"{source}, line {number}: expected an object with the key 'path', got {line.strip()!r}.")
        for name in TEXT:
            value = row.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
                raise DataError(f"{source}, line {number}: expected text or an integer in {name!r}, got {value!r}.")
        rows.append(row)
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    text = {name: ["" if row.get(name) is None else str(row[name]) for row in rows] for name in TEXT if name in names}
    return Columns(names, text, np.empty((len(rows), 0), np.float32))
