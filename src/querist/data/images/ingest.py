"""One streamed pass over image files: hash, decode in full, take prints, remember; killed, it goes on where it was."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock

from querist.data.images.decode import Refused, TooLargeHere, opened, recognise, strictly
from querist.data.images.index import Index, Record, folder_of
from querist.data.images.prints import Print, take_print
from querist.data.images.walk import Found, Passed
from querist.errors import DataError
from querist.files import refuse_write
from querist.kernels.workers import each_block
from querist.progress import tell

BATCH = 64
"""Files between two writes: what a kill costs at most."""
MOST_BYTES = 1 << 29
"""Larger files are refused unread."""
LONG = 1 << 22
"""Larger files are read only if they begin like an image: a folder of films would take hours."""


@dataclass(frozen=True)
class Ingested:
    """The outcome of a pass, in the order of the files asked for.

    Attributes:
        index: where the prints are.
        pictures: files that are pictures.
        passed: files that are none.
    """

    index: Index
    pictures: list[Record]
    passed: list[Passed]


def ingest(source: Path, files: Sequence[Found], size: int, cache: Path) -> Ingested:
    """Read files below `source` that are not known yet, and return what is known of all of them.

    As many threads decode as `querist.kernels.workers.workers` allows; the outcome does not depend on it. A second
    process that reads the same folder waits, and then finds the work done.

    Args:
        source: the folder; nothing is written into it.
        files: what to read; a file is known by path, size and time of change.
        size: side of the items.
        cache: folder of indices.

    Raises:
        StoreError: the index cannot be written; what was read before is not lost.
    """
    folder = folder_of(cache, source, size)
    index = Index(folder, size)
    passed: dict[str, str] = {}
    if any(index.known(*file) is None for file in files):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / "writer.lock")
            lock.acquire()
        except OSError as error:
            refuse_write(folder, error)
        try:
            index = Index(folder, size)  # once more, for another process may have written it
            passed = _read_unknown(index, source, files)
        finally:
            lock.release()
    pictures: list[Record] = []
    for file in files:
        record = index.known(*file)
        if record is None or record.refused:
            passed[file.path] = record.refused if record else passed[file.path]
        else:
            pictures.append(record)
    return Ingested(index, pictures, [Passed(path, reason) for path, reason in passed.items()])


def cache_folder(given: str | None, outside: Path | None = None) -> Path:
    """Return where indices are kept: `given`, else ``ingest`` in the store.

    The store is the folder that ``QUERIST_STORE`` names, else ``./querist-store``; if that would lie among the images
    in the folder `outside`, because the command is run there, the user's cache folder takes its place.

    Raises:
        DataError: the chosen folder lies within `outside`.
    """
    chosen = given or os.environ.get("QUERIST_STORE")
    folder = Path(given) if given else Path(chosen or "querist-store") / "ingest"
    if outside is None or not folder.resolve().is_relative_to(outside.resolve()):
        return folder
    if chosen:
        raise DataError(
            f"{folder} lies within the folder of images {outside}, into which nothing is written. Choose another place "
            "by cache='...' or by the environment variable QUERIST_STORE."
        )
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "querist" / "ingest"


def _read_unknown(index: Index, source: Path, files: Sequence[Found]) -> dict[str, str]:
    """Bring the index up to date; return what could not be opened and why, which is not remembered."""
    unknown = [file for file in files if index.known(*file) is None]
    known = len(files) - len(unknown)
    unreadable: dict[str, str] = {}
    with strictly():
        for start in range(0, len(unknown), BATCH):
            tell("reading images", known + start, len(files))
            batch = unknown[start : start + BATCH]
            looks: dict[int, Look] = {}

            def look(block: slice, batch: Sequence[Found] = batch, looks: dict[int, "Look"] = looks) -> None:
                for i in range(block.start, block.stop):
                    with suppress(TooLargeHere):
                        looks[i] = _look(index, source, batch[i], large=False)

            each_block(look, len(batch), 1)
            # Large ones here and not in threads, each of which would keep the memory of its largest image.
            done = [looks[i] if i in looks else _look(index, source, file, large=True) for i, file in enumerate(batch)]
            _append(index, done, unreadable)
    tell("reading images", len(files), len(files))
    return unreadable


Look: TypeAlias = tuple[Record, Print | None] | Passed
"""A record with its print, unless the same bytes were seen before; or why the file cannot be opened."""


def _look(index: Index, source: Path, file: Found, *, large: bool) -> Look:
    try:
        with (source / file.path).open("rb") as stream:
            if file.size > MOST_BYTES:
                raise Refused(f"too large: {file.size:,} bytes; at most {MOST_BYTES:,} are read")
            if file.size > LONG:
                recognise(stream)
            data = stream.read(MOST_BYTES)
        content = sha256(data).hexdigest()
        record = Record(*file, content=content)
        if index.same_content(content):
            return record, None
        with opened(data, large=large) as image:
            return record, take_print(image, index.size)
    except Refused as refusal:
        return Record(*file, refused=str(refusal)), None
    except OSError as error:
        return Passed(file.path, f"unreadable: {error.strerror}")


def _append(index: Index, looks: Sequence[Look], unreadable: dict[str, str]) -> None:
    """Write what was seen. Equal bytes share one print, also within a batch, so rows do not depend on batches."""
    fresh: list[tuple[Record, Print | None]] = []
    first: dict[str, Record] = {}
    row = index.rows
    for look in looks:
        if isinstance(look, Passed):
            unreadable[look.path] = look.reason
            continue
        record, taken = look
        if not record.refused:
            before = index.same_content(record.content) or first.get(record.content)
            if before:
                record, taken = replace(record, row=before.row, hash=before.hash), None
            elif taken is not None:
                record = replace(record, row=row, hash=taken.hash)
                first[record.content] = record
                row += 1
        fresh.append((record, taken))
    if fresh:
        index.append(fresh)
