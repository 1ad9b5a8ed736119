"""A content-addressed cache of arrays, in memory or in a folder of memory-mapped files."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from querist.arrays import readonly
from querist.errors import DataError
from querist.files import AtomicFile, atomic_write, remove_leftovers, write_bytes
from querist.registry import digest

FORMAT = 1
log = logging.getLogger(__name__)

AnyArray = npt.NDArray[Any]
Blocks = Callable[[], Iterable[AnyArray]]


class Cache(ABC):
    """Arrays addressed by everything they depend on, as a JSON value."""

    @abstractmethod
    def fetch(self, key: object, rows: int, blocks: Blocks) -> AnyArray:
        """Return the read-only array of `key`, made on the first call.

        Args:
            key: a JSON value that names all that the array depends on; no clock, path or host.
            rows: length of the array.
            blocks: called if there is no such entry yet; yields the array from the first row to the last, in parts
                ``(m, ...)`` that agree in dtype and width.

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
            for block in _checked(blocks(), rows):
                if whole is None:
                    whole = np.empty((rows, *block.shape[1:]), dtype=block.dtype)
                whole[start : start + len(block)] = block
                start += len(block)
            if whole is not None:
                self._arrays[address] = readonly(whole)
        return self._arrays[address]


class FolderCache(Cache):
    """Entries ``<digest>.npy`` with a sidecar ``<digest>.json``; a process killed while writing leaves no half entry.

    The sidecar is written last: an array without one does not count. An entry that is damaged (another size than its
    sidecar says, unreadable) is made anew, with a warning in the log ``querist.evidence.cache``. Several processes may
    share the folder. Reading needs no right to write.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def fetch(self, key: object, rows: int, blocks: Blocks) -> AnyArray:
        address = digest(key)
        array, sidecar = self.folder / f"{address}.npy", self.folder / f"{address}.json"
        if sidecar.exists():
            try:
                return _read(array, sidecar, key, rows)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("cache entry %s is damaged (%s); it is made again", array, error)
        remove_leftovers(self.folder)
        with atomic_write(array) as file:
            shape, dtype = _write(file, _checked(blocks(), rows), rows)
        size = array.stat().st_size
        record = {"format": FORMAT, "key": key, "dtype": dtype.str, "shape": list(shape), "bytes": size}
        write_bytes(sidecar, json.dumps(record, indent=1, sort_keys=True, allow_nan=False).encode())
        return _read(array, sidecar, key, rows)


def open_cache(folder: str | Path | None) -> Cache:
    """Return the cache in a folder, or one in memory if there is none."""
    return MemoryCache() if folder is None else FolderCache(folder)


def _write(file: AtomicFile, blocks: Iterator[AnyArray], rows: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Write blocks as one .npy file without holding more than one; return shape and dtype of the whole."""
    first = next(blocks)
    shape = (rows, *first.shape[1:])
    header = {"descr": npy.dtype_to_descr(first.dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)  # pyright: ignore[reportArgumentType]
    block: AnyArray | None = first
    while block is not None:
        file.write(block.tobytes())
        block = next(blocks, None)
    return shape, first.dtype


def _read(array: Path, sidecar: Path, key: object, rows: int) -> AnyArray:
    """Open an entry; any error means that it is damaged."""
    record = json.loads(sidecar.read_bytes())
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


def _checked(blocks: Iterable[AnyArray], rows: int) -> Iterator[AnyArray]:
    """Yield blocks of equal kind that add up to `rows`, at least one."""
    kind: tuple[np.dtype[Any], tuple[int, ...]] | None = None
    seen = 0
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
