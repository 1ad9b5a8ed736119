"""A content-addressed cache of arrays, in memory or in a folder of memory-mapped files."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import readonly
from querist.errors import DataError, StoreError
from querist.evidence.parts import Part, locked
from querist.files import refuse_write, remove_leftovers, write_bytes
from querist.registry import digest

FORMAT = 1
DAMAGE = (OSError, ValueError, KeyError, TypeError)
"""What reading a file that is absent, cut or altered raises."""
log = logging.getLogger(__name__)

AnyArray = npt.NDArray[Any]
Blocks = Callable[[int], Iterable[AnyArray]]
Kind = tuple[np.dtype[Any], tuple[int, ...]]


class Cache(ABC):
    """Arrays addressed by everything they depend on, as a JSON value."""

    @abstractmethod
    def fetch(self, key: object, rows: int, blocks: Blocks) -> AnyArray:
        """Return the read-only array of `key`, made on the first call.

        Args:
            key: a JSON value that names all that the array depends on; no clock, path or host.
            rows: length of the array.
            blocks: called if there is no such entry yet, with the number of rows that are there already, 0 unless an
                earlier process was stopped; yields the array from that row to the last, in parts ``(m, ...)`` that
                agree in dtype and width.

        Raises:
            DataError: the blocks do not fit together or do not add up to `rows`.
            StoreError: the entry cannot be written; other entries are intact.
        """


class MemoryCache(Cache):
    """Entries that live as long as this object."""

    def __init__(self) -> None:
        self._arrays: dict[str, AnyArray] = {}

    def fetch(self, key: object, rows: int, blocks: Blocks) -> AnyArray:
        address = digest(key)
        if address not in self._arrays:
            whole: AnyArray | None = None
            start = 0
            for block in _checked(blocks(0), rows):
                if whole is None:
                    whole = np.empty((rows, *block.shape[1:]), dtype=block.dtype)
                whole[start : start + len(block)] = block
                start += len(block)
            if whole is not None:
                self._arrays[address] = readonly(whole)
        return self._arrays[address]


class FolderCache(Cache):
    """Entries ``<digest>.npy`` with a sidecar ``<digest>.json``; an array without one does not count.

    An entry is made in the folder ``parts``, and a process killed meanwhile leaves a part that the next one continues.
    Several processes may share the folder: who wants an entry that another is making waits for it. An entry that is
    damaged (another size than its sidecar says, unreadable) is made anew, with a warning in the log
    ``querist.evidence.cache``. Reading needs no right to write.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def fetch(self, key: object, rows: int, blocks: Blocks) -> AnyArray:
        address = digest(key)
        with suppress(*DAMAGE):
            return _read(self.folder, address, key, rows)
        lock = self.folder / "parts" / f"{address}.lock"
        with locked(lock):
            entry = self._made_meanwhile(address, key, rows)
            if entry is None:
                self._make(address, key, rows, blocks)
                entry = _read(self.folder, address, key, rows)
            # Who still waits for this file finds the entry, so it is of no use any more.
            with suppress(OSError):
                lock.unlink()
        return entry

    def _made_meanwhile(self, address: str, key: object, rows: int) -> AnyArray | None:
        """Return the entry if whoever held the lock has made it."""
        array, part = (folder / f"{address}.npy" for folder in (self.folder, self.folder / "parts"))
        # Who was killed between the sidecar and the array has left a part: that is no damage.
        if (self.folder / f"{address}.json").exists() and (array.exists() or not part.exists()):
            try:
                return _read(self.folder, address, key, rows)
            except DAMAGE as error:
                log.warning("cache entry %s is damaged (%s); it is made again", array, error)
        return None

    def _make(self, address: str, key: object, rows: int, blocks: Blocks) -> None:
        array, sidecar = self.folder / f"{address}.npy", self.folder / f"{address}.json"
        parts = self.folder / "parts"
        remove_leftovers(self.folder)
        remove_leftovers(parts)
        part = Part(parts / f"{address}.npy", key, rows)
        try:
            missing = blocks(part.done) if part.done < rows else ()
            for block in _checked(missing, rows, part.done, part.kind):
                part.append(block)
            try:
                array.unlink(missing_ok=True)  # a damaged entry's must not stand beside the new sidecar
            except OSError as error:
                refuse_write(array, error)
            # The sidecar comes first: until the array has taken its place, the part is there to go on from.
            record = {"format": FORMAT, "key": key, **part.described()}
            write_bytes(sidecar, json.dumps(record, indent=1, sort_keys=True, allow_nan=False).encode())
            part.finish(array)
        except DataError:
            part.discard()  # what broke its promise once is not to be built upon
            raise
        except BaseException:
            with suppress(StoreError):
                part.record()
            raise
        finally:
            part.close()


def open_cache(folder: str | Path | None) -> Cache:
    """Return the cache in a folder, or one in memory if there is none."""
    return MemoryCache() if folder is None else FolderCache(folder)


def _read(folder: Path, address: str, key: object, rows: int) -> AnyArray:
    """Open an entry; an error of the kinds `DAMAGE` means that there is none or that it is damaged."""
    array = folder / f"{address}.npy"
    record = json.loads((folder / f"{address}.json").read_bytes())
    if record["format"] != FORMAT or digest(record["key"]) != digest(key):
        raise ValueError("its sidecar belongs to another entry or format")
    size = array.stat().st_size
    if size != record["bytes"]:
        raise ValueError(f"{size} bytes instead of {record['bytes']}")
    # A plain view of the map: the subclass memmap would slow every later indexing down.
    opened = np.asarray(np.load(array, mmap_mode="r", allow_pickle=False))
    if list(opened.shape) != record["shape"] or opened.dtype.str != record["dtype"] or len(opened) != rows:
        raise ValueError(f"it holds {opened.dtype.str} of shape {opened.shape}")
    return opened


def _checked(blocks: Iterable[AnyArray], rows: int, seen: int = 0, kind: Kind | None = None) -> Iterator[AnyArray]:
    """Yield blocks of equal kind that, with the rows seen before, add up to `rows`, at least one."""
    for block in blocks:
        if kind is not None and kind != (block.dtype, block.shape[1:]):
            raise DataError(
                f"Expected blocks of {kind[0]} and row shape {kind[1]}, got {block.dtype} and {block.shape[1:]} "
                f"after {seen} rows."
            )
        kind = block.dtype, block.shape[1:]
        seen += len(block)
        if seen > rows:
            break
        yield block
    if seen != rows or kind is None:
        raise DataError(f"Expected blocks of {rows} rows in all, got {'more' if seen > rows else seen}.")
