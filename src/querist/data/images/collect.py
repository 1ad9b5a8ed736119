"""From ingested files to a dataset: keys from content, exact copies merged by rule, items in the order of keys."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from querist.arrays import SHOWN
from querist.data.columns import UNLABELLED
from querist.data.dataset import Dataset, SetAside
from querist.data.images.index import Record
from querist.data.images.ingest import Ingested
from querist.data.images.items import ImageItems, picture_of
from querist.data.images.near import leave_out_near_copies
from querist.data.images.walk import Passed, by_bytes
from querist.data.manifest import LEFT_OUT, POOL, SPLITS, TEST, VALIDATION
from querist.data.memory import from_arrays
from querist.errors import DataError

KEY = 16
"""Characters of a key: 64 bits of SHA-256. Contents that agree in them get their whole hash as key."""
PRECEDENCE = (TEST, VALIDATION, POOL, LEFT_OUT)
"""Which of several equal files counts: what is tested on stays tested on, and is not learned from."""


@dataclass(frozen=True)
class Entry:
    """A picture as its source declares it.

    Attributes:
        record: what was read.
        label: class number, -1 if not labelled.
        split: position in `SPLITS`.
        key: its name in the source; "" means that its content names it.
    """

    record: Record
    label: int
    split: int
    key: str = ""


def collect(
    source: Path,
    name: str,
    ingested: Ingested,
    entries: Sequence[Entry],
    passed: Sequence[Passed],
    classes: tuple[str, ...],
    *,
    near_copies: Literal["keep", "leave_out"],
    test_share: float | None,
    split_seed: int,
) -> Dataset:
    """Return the dataset of some pictures.

    Args:
        source: the folder that paths are relative to.
        name: of the dataset.
        ingested: where their prints are.
        entries: pictures with labels and splits, in any order.
        passed: what else was found, with reasons.
        classes: declared class names.
        near_copies: what to do with pool items that look like other pool items.
        test_share: share of the labelled pool to draw as test split.
        split_seed: seed of that draw.

    Raises:
        DataError: there is no picture (lists the reasons), or the columns do not fit (see `from_arrays`).
    """
    if not entries:
        raise DataError(f"{source}: no image could be read. {_summary(passed)}")
    aside = [SetAside(str(source / path), reason) for path, reason in passed]
    kept: list[Entry] = []
    for entry, reasons in _without_exact_copies(entries, classes):
        kept.append(entry)
        aside.extend(SetAside(str(source / path), reason) for path, reason in reasons)
    keyed = sorted(zip(_keys(kept), kept, strict=True), key=lambda pair: pair[0])
    keys, kept = [key for key, _ in keyed], [entry for _, entry in keyed]
    records = [entry.record for entry in kept]
    paths = tuple(str(source / record.path) for record in records)
    rows = np.array([[record.row] for record in records])  # stand in for the items, which are not in memory
    dataset = from_arrays(
        name, rows, np.array([entry.label for entry in kept]), split=np.array([entry.split for entry in kept]),
        keys=keys, classes=classes, test_share=test_share, split_seed=split_seed,
        picture=picture_of(paths, [record.content for record in records]), where=str(source),
    )  # fmt: skip
    dataset = replace(dataset, items=ImageItems(ingested.index, records), paths=paths, set_aside=tuple(sorted(aside)))
    return leave_out_near_copies(dataset) if near_copies == "leave_out" else dataset


def _without_exact_copies(
    entries: Sequence[Entry], classes: Sequence[str]
) -> Iterator[tuple[Entry, list[tuple[str, str]]]]:
    """Yield one entry per content, and what to report of its copies by path."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.record.content].append(entry)
    for copies in groups.values():
        copies.sort(key=lambda entry: (PRECEDENCE.index(SPLITS[entry.split]), by_bytes(entry.record)))
        first, *others = copies
        labels = {entry.label for entry in copies} - {UNLABELLED}
        where = first.record.path
        reasons = [(copy.record.path, f"same content as {where}" + _in_another_split(copy, first)) for copy in others]
        if len(labels) > 1:
            # Nobody knows which label is right: it is neither learned from nor tested on.
            words = ", ".join(
                f"{classes[copy.label]!r} ({copy.record.path})" for copy in copies if copy.label != UNLABELLED
            )
            reasons.append((where, f"files of the same content are labelled differently: {words}; left out"))
            yield replace(first, label=UNLABELLED, split=SPLITS.index(LEFT_OUT)), reasons
        else:
            yield replace(first, label=labels.pop() if labels else UNLABELLED), reasons


def _in_another_split(copy: Entry, first: Entry) -> str:
    if copy.split == first.split:
        return ""
    return f", which is in the split {SPLITS[first.split]!r} while this is in {SPLITS[copy.split]!r}"


def _keys(entries: Sequence[Entry]) -> list[str]:
    short = Counter(entry.record.content[:KEY] for entry in entries)
    return [
        entry.key or (entry.record.content[:KEY] if short[entry.record.content[:KEY]] == 1 else entry.record.content)
        for entry in entries
    ]


def _summary(passed: Sequence[Passed]) -> str:
    if not passed:
        return "There is no file at all."
    shown = "; ".join(f"{path}: {reason}" for path, reason in passed[:SHOWN])
    more = f"; and {len(passed) - SHOWN} more" if len(passed) > SHOWN else ""
    return f"What is there instead: {shown}{more}."
