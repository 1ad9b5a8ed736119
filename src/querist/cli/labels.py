"""Labels that people wrote into files, matched with the items they mean: by key, by path, by file name, by content."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from querist.cli.sources import is_of_files
from querist.data.columnfiles import read_csv
from querist.data.dataset import Dataset
from querist.data.files import as_labels
from querist.data.images.near import near_copies
from querist.data.manifest import LEFT_OUT, POOL, SPLITS, NumberedKeys
from querist.errors import DataError

NAMES = ("key", "path", "id")
"""Columns that may say which item a line is about; the first of them that a line fills in counts."""


@dataclass(frozen=True)
class Line:
    """One label: what names the item, where it was written, the name of the class, and the item's path if it is given.

    The path counts where the item is not known and rows are known by their paths: a table of picks from a folder of
    images names them by their content, of which a file of features knows nothing.
    """

    item: str
    file: Path
    label: str
    path: str = ""


@dataclass(frozen=True)
class Matched:
    """Labels by id, and the lines that belong to items of the source that cannot be used, with the reason."""

    labels: dict[int, Any]
    unused: list[tuple[Line, str]]


def read_labels(files: Sequence[Path]) -> list[Line]:
    """Return the lines of CSV files that have a label; a table of picks with a column ``label`` filled in is one.

    Raises:
        DataError: no such file, or no column ``label``, or none that names items.
    """
    return [line for file in files for line in _lines(file)]


def classes_of(lines: Sequence[Line]) -> tuple[str, ...]:
    """Return the distinct class names, sorted."""
    return tuple(sorted({line.label for line in lines}))


def match(lines: Sequence[Line], data: Dataset, source: str) -> Matched:
    """Return which item each line means.

    A label of a near copy that was left out counts for the image that was kept in its place.

    Args:
        lines: what was read.
        data: the items.
        source: the folder or file they come from; paths may be relative to it.

    Raises:
        DataError: a line means no item or several, an item has two labels, or a label is no class of the data.
    """
    finder = _Finder(data, Path(source))
    in_pool = data.manifest.split == SPLITS.index(POOL)
    labels: dict[int, tuple[str, Line]] = {}
    unused: list[tuple[Line, str]] = []
    strays: list[Line] = []
    for line in lines:
        found = finder.find(line)
        if found is not None and not in_pool[found]:
            found = finder.kept_instead_of(found)
        if found is not None and in_pool[found]:
            label, first = labels.setdefault(found, (line.label, line))
            if label != line.label:
                raise DataError(
                    f"{line.file}: {line.item} is labelled twice, as {label!r} ({first.item}) and as {line.label!r}. "
                    "Keep one of them."
                )
        elif reason := finder.reason(line):
            unused.append((line, reason))
        else:
            strays.append(line)
    if strays:
        shown = ", ".join(line.item for line in strays[:5]) + (", ..." if len(strays) > 5 else "")
        known = "its paths, file names or keys" if data.paths else "its keys or its row numbers"
        raise DataError(f"labels: ids {shown} are not in the source. Use {known}.")
    values = as_labels([label for label, _ in labels.values()], data.classes)
    values = values if isinstance(values, list) else values.tolist()
    return Matched(dict(zip(labels, values, strict=True)), unused)


class _Finder:
    """Finds items by what people call them."""

    def __init__(self, data: Dataset, source: Path) -> None:
        self._data, self._source = data, source
        keys = data.manifest.keys
        self._keys = {} if isinstance(keys, NumberedKeys) else {key: i for i, key in enumerate(keys)}
        # In a folder of images the third item is another one tomorrow; rows of an array stay where they are.
        self._by_number = not is_of_files(data)
        self._places = {Path(path).resolve(): i for i, path in enumerate(data.paths or ()) if path}

    def find(self, line: Line) -> int | None:
        """Return the id that a line means, None if there is no such item."""
        if line.item in self._keys:
            return self._keys[line.item]
        if line.path and self._data.paths and not is_of_files(self._data):
            return self.find(replace(line, item=line.path, path=""))
        if self._by_number and (row := self._row(line.item)) is not None:
            return row
        for place in self.places(line):
            if place in self._places:
                return self._places[place]
            if place in self._aside:
                return self._by_content(line)
        # A file that is there tells by itself what it is; a namesake in the source may be another picture.
        named = None if any(place.is_file() for place in self.places(line)) else self._by_name(line)
        return self._by_content(line) if named is None else named

    def kept_instead_of(self, item: int) -> int | None:
        """Return what was kept of an item and its near copies."""
        return self._copies.get(item)

    def reason(self, line: Line) -> str:
        """Return why an item of the source that a line means is not in the pool; empty if there is no such item."""
        aside = next((self._aside[place] for place in self.places(line) if place in self._aside), "")
        return aside or ("it is not in the pool" if self.find(line) is not None else "")

    def places(self, line: Line) -> Iterator[Path]:
        """Yield the files a line may mean: from here, from the source, from where the labels are."""
        inside = self._source if self._source.is_dir() else self._source.parent
        for folder in (Path(), inside, line.file.parent):
            yield (folder / line.item).resolve()

    @cached_property
    def _aside(self) -> dict[Path, str]:
        return {Path(entry.path).resolve(): entry.reason for entry in self._data.set_aside}

    @cached_property
    def _copies(self) -> dict[int, int]:
        if not is_of_files(self._data):
            return {}
        manifest = self._data.manifest
        split = np.where(manifest.split == SPLITS.index(LEFT_OUT), np.int8(SPLITS.index(POOL)), manifest.split)
        together = replace(self._data, manifest=replace(manifest, split=split))
        return dict(near_copies(together).pool)

    @cached_property
    def _names(self) -> dict[str, int]:
        return {place.name: i for place, i in self._places.items()}

    @cached_property
    def _count(self) -> Counter[str]:
        return Counter(place.name for place in self._places)

    def _row(self, item: str) -> int | None:
        """An item by its number; numbered keys are numbers with a name before them."""
        keys = self._data.manifest.keys
        number = item.rpartition("/")[2]
        row = int(number) if number.isascii() and number.isdigit() and len(number) < 12 else len(keys)
        return row if row < len(keys) and item in (str(row), keys[row]) else None

    def _by_name(self, line: Line) -> int | None:
        name = Path(line.item).name
        if self._count[name] > 1:
            raise DataError(
                f"{line.file}: {line.item} may be any of {self._count[name]} files of that name. Write its path "
                "relative to the source."
            )
        return self._names.get(name)

    def _by_content(self, line: Line) -> int | None:
        """A copy of an item, or one that was renamed: keys of images are hashes of their content."""
        named = [place for place in self._aside if place.name == Path(line.item).name]
        for place in (*self.places(line), *named):
            if place.is_file():
                content = sha256(place.read_bytes()).hexdigest()
                return next((i for key, i in self._keys.items() if len(key) >= 16 and content.startswith(key)), None)
        return None


def _lines(file: Path) -> Iterator[Line]:
    header, columns, _ = read_csv(file, (*NAMES, "label"))
    named = [name for name in NAMES if name in columns]
    if "label" not in columns or not named:
        got = ", ".join(header)
        raise DataError(f"{file}: expected the columns id and label (or path, or key, for id), got {got}.")
    for row, label in enumerate(columns["label"]):
        if not label.strip():
            continue
        item = next((columns[name][row] for name in named if columns[name][row]), "")
        if not item:
            raise DataError(f"{file}: line {row + 2} has the label {label!r}, but nothing that says of what.")
        yield Line(item, file, label.strip(), columns["path"][row] if "path" in columns else "")
