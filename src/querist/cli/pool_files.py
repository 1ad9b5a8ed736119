"""Files that ``querist pool report`` reads: what was chosen, round by round, and the course of a training."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from querist.analysis.data_map import DataMap, data_map
from querist.arrays import Array, Ids, as_ids
from querist.cli.labels import NAMES, Line, match
from querist.data.columnfiles import read_csv, read_parquet
from querist.data.dataset import Dataset
from querist.data.indices import read_ids
from querist.errors import DataError
from querist.report.pool import Chosen
from querist.strategies._stored import stored_rows


def read_rounds(files: Sequence[Path], data: Dataset, source: str) -> Chosen:
    """Return the picks that files list, a round per file, or per value of a column ``round``.

    Raises:
        DataError: a file cannot be read, names an item that the pool does not have, or one that came before.
    """
    rounds: dict[str, Ids] = {}
    for number, file in enumerate(files, start=1):
        for name, ids in _rounds_of(file, data, source):
            if not len(ids):
                raise DataError(f"{file}: expected at least one pick.")
            rounds[name or f"round {number}"] = ids
    every = as_ids(np.concatenate(list(rounds.values())), len(data.manifest), what="picks")
    if strange := sorted(set(every.tolist()) - set(data.pool.tolist())):
        raise DataError(f"picks: ids {', '.join(map(str, strange[:5]))} are not in the pool of {data.name!r}.")
    words = f"from {files[0].name}" if len(files) == 1 else f"from {len(files)} files"
    return Chosen(rounds=tuple(rounds.values()), names=tuple(rounds), words=words)


def _rounds_of(file: Path, data: Dataset, source: str) -> Iterator[tuple[str, Ids]]:
    kind = file.suffix.lower()
    rows: list[Mapping[str, Any]] | None = None
    if kind == ".csv":
        _, columns, _ = read_csv(file, (*NAMES, "round"))
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    elif kind == ".json" and file.is_file():
        rows = _listed(file)
    if rows is None:
        yield "", read_ids(file, len(data.manifest))
        return
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row.get("round", "") or ""), []).append(row)
    for name, part in groups.items():
        # Only the class matters to labels, and only the item to picks: any class serves to find the items.
        lines = [
            Line(next((str(row[n]) for n in NAMES if row.get(n) not in (None, "")), ""), file, data.classes[0],
                 str(row.get("path") or ""))
            for row in part
        ]  # fmt: skip
        found = match(lines, data, source)
        if found.unused:
            line, why = found.unused[0]
            raise DataError(f"{file}: {line.item} cannot be a pick: {why}.")
        yield f"round {name}" if name else "", np.array(list(found.labels), np.int64)


def _listed(file: Path) -> list[Mapping[str, Any]] | None:
    """The picks of a document of ``querist select --json``; None for a plain list of ids."""
    try:
        document = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{file}: not valid JSON ({error}).") from None
    if isinstance(document, list):
        return None
    rows = document.get("picks") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file}: expected a list of ids, or the document of querist select with its 'picks'.")
    return rows


def read_course(file: Path, data: Dataset) -> DataMap:
    """Return the data map of a training that a file tells about.

    Raises:
        DataError: it cannot be read, has other shapes, or holds no probabilities.
    """
    if file.suffix.lower() == ".parquet":
        found = read_parquet(file, ("id", "epoch"), lambda name: name == "p_true")
        if len(found.text) < 2 or found.numbers.shape[1] != 1:
            raise DataError(f"{file}: expected the columns id, epoch and p_true, got {', '.join(found.names)}.")
        ids, epochs = (np.array(found.text[name]).astype(np.int64) for name in ("id", "epoch"))
        return _course(ids, epochs, found.numbers[:, 0].astype(np.float64))
    p_n_e = stored_rows(str(file), data.pool, (None,), who="--data-map").astype(np.float64)
    n, epochs = p_n_e.shape
    return _course(np.repeat(data.pool, epochs), np.tile(np.arange(epochs), n), p_n_e.ravel())


def _course(ids: Ids, epochs: Ids, p_true: Array) -> DataMap:
    # Right for certain where the probability is above one half. No figure rests on it, only on the probabilities.
    return data_map(ids, epochs, p_true, p_true > 0.5)
