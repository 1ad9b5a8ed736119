"""Append-only ledgers: events in, events out, nothing lost when the process is killed."""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from querist.errors import LedgerCorruptError, LedgerError
from querist.files import refuse_write, sync_folder
from querist.labels.events import Event, from_json, to_json


class Ledger(Protocol):
    """Where a session writes its events. Every view of the session is a replay of it."""

    def append(self, *events: Event) -> None:
        """Write events so that they survive a kill, all or none of them readable in order."""
        ...

    def __iter__(self) -> Iterator[Event]: ...


class MemoryLedger:
    """A ledger that lives as long as the process, for notebooks and tests."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def append(self, *events: Event) -> None:
        self._events.extend(events)

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._events))


class JsonlLedger:
    """One JSON object per line, each carrying a digest of itself and all lines before it.

    A torn last line (the process was killed while writing) is forgiven and cut off by the next append. Damage anywhere
    else raises, for a line that was once complete can only change by a hand or a failing disk. A ledger has one writer:
    a file that changes behind its back is left as it is found.

    Args:
        path: the file; made with its folder by the first append.

    Raises:
        LedgerCorruptError: a line other than a torn last one is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._events: list[Event] = []
        self._chain = ""
        self._size = 0  # bytes of complete, verified lines
        self._tail = b""  # what was found behind them: nothing, or a torn line
        if self.path.exists():
            self._read()

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._events))

    def append(self, *events: Event) -> None:
        """Write the events with one write and one fsync.

        Raises:
            StoreError: the disk is full or the file cannot be written; what was there before is untouched.
            LedgerError: another process wrote, cut or removed the file since it was read.
        """
        chain, lines = self._chain, []
        for event in events:
            body = json.dumps(to_json(event), separators=(",", ":"), allow_nan=False)
            chain = _link(chain, body)
            lines.append(f'{body[:-1]},"chain":"{chain}"}}\n')
        data = "".join(lines).encode()
        try:
            self._write(data)
        except OSError as error:
            refuse_write(self.path, error)
        self._chain, self._size = chain, self._size + len(data)
        self._events.extend(events)

    def _write(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            expected = self._size + len(self._tail)
            if os.fstat(handle).st_size != expected or _read_from(handle, self._size, len(self._tail)) != self._tail:
                raise LedgerError(
                    f"{self.path} is no longer what was read: another process changed it. Nothing was written. "
                    "Open the ledger again to go on from what it holds now."
                )
            try:
                os.ftruncate(handle, self._size)
                os.lseek(handle, self._size, os.SEEK_SET)
                rest = memoryview(data)
                while rest:
                    if not (count := os.write(handle, rest)):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    rest = rest[count:]
                os.fsync(handle)
                if not self._size:
                    sync_folder(self.path.parent)  # the file is new
                self._tail = b""
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, self._size)
                with contextlib.suppress(OSError):
                    self._tail = _read_from(handle, self._size, len(data))
                raise
        finally:
            os.close(handle)

    def _read(self) -> None:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise LedgerError(f"cannot read {self.path}: {error.strerror}.") from error
        *lines, tail = data.split(b"\n")  # the tail is empty, or a line that was never completed
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode()
                values = json.loads(text)
                chain = values.pop("chain")
                body = text[: text.rindex(',"chain"')] + "}"
            except (ValueError, KeyError, AttributeError, TypeError):
                if number == len(lines) and not tail and _is_torn(line):
                    self._tail = line + b"\n"
                    return
                raise LedgerCorruptError(self._damage(number, "is not a complete record")) from None
            if chain != _link(self._chain, body):
                raise LedgerCorruptError(self._damage(number, "does not continue the lines before it"))
            self._events.append(from_json(values))
            self._chain = chain
            self._size += len(line) + 1
        if not _is_torn(tail):
            raise LedgerCorruptError(self._damage(len(lines) + 1, "goes on after a complete record"))
        self._tail = tail

    def _damage(self, number: int, what: str) -> str:
        return (
            f"{self.path}, line {number}: {what}. The ledger was edited or the disk is failing. "
            f"Restore the file from a copy, or delete its folder to run it again from the start."
        )


_LINK = re.compile(rb',"chain":"[0-9a-f]{16}"\}')


def _is_torn(line: bytes) -> bool:
    """Return whether a write cut short can leave this: a tear never has anything behind a complete record."""
    complete = _LINK.search(line)
    return complete is None or complete.end() == len(line)


def _read_from(handle: int, start: int, count: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    return os.read(handle, count)


def _link(chain: str, body: str) -> str:
    return blake2b(f"{chain}{body}".encode(), digest_size=8).hexdigest()
