"""Arrays on their way into the cache: written block by block, and continued where a killed process stopped."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from numpy.lib import format as npy

from querist.files import refuse_write, sync_folder, write_bytes
from querist.registry import digest

FORMAT = 1
RECORD_SECONDS = 1.0
"""Work that a killed process may lose: the record of what is safely on disk is written no more often than this."""
PIECE = 1 << 22

log = logging.getLogger("querist.evidence.cache")


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold a lock that a process loses when it dies; wait for whoever holds it.

    Raises:
        StoreError: the lock file cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        held.acquire()
    except OSError as error:
        refuse_write(lock, error)
    try:
        yield
    finally:
        held.release()


class Part:
    """An array of `rows` rows that grows from the first to the last. Only the holder of its lock may use it.

    ``<path>`` is a whole .npy file but for the rows that are missing; ``<path>.json`` says for how many rows it counts
    and their digest. Bytes behind those are of no account, and a part that is damaged or another key's is begun anew.

    Args:
        path: of the part.
        key: what the array depends on.
        rows: how many there are in the end.
    """

    def __init__(self, path: Path, key: object, rows: int) -> None:
        self._path, self._record = path, path.with_suffix(".json")
        self._key, self._rows = key, rows
        self._state = blake2b(digest_size=16)
        self._file: BinaryIO | None = None
        self._kind: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        self._size = self.done = 0
        self._recorded = time.monotonic()
        if self._record.exists():
            try:
                self._resume(json.loads(self._record.read_bytes()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("the unfinished cache entry %s is damaged (%s); it is begun anew", path, error)
                self.discard()

    def _resume(self, record: dict[str, Any]) -> None:
        if record["format"] != FORMAT or digest(record["key"]) != digest(self._key) or record["shape"][0] != self._rows:
            raise ValueError("it belongs to another entry or format")
        size, done = int(record["bytes"]), int(record["done"])
        dtype, shape = np.dtype(record["dtype"]), tuple(record["shape"][1:])
        state = blake2b(digest_size=16)
        with self._path.open("rb") as file:
            left = size
            while left and (piece := file.read(min(PIECE, left))):
                state.update(piece)
                left -= len(piece)
        if left or state.hexdigest() != record["digest"] or not 0 < done <= self._rows:
            raise ValueError(f"{size} bytes of {done} rows are not what was recorded")
        file = self._path.open("r+b")
        file.truncate(size)
        file.seek(size)
        self._file, self._state, self._kind = file, state, (dtype, shape)
        self._size, self.done = size, done

    @property
    def kind(self) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """Dtype and shape of a row, once there is one."""
        return self._kind

    def append(self, block: npt.NDArray[Any]) -> None:
        """Add rows ``(m, ...)``.

        Raises:
            StoreError: they cannot be written; the rows recorded before stay.
        """
        try:
            if self._file is None:
                self._kind = block.dtype, block.shape[1:]
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("wb")
                self._put(_header(block.dtype, (self._rows, *block.shape[1:])))
            self._put(block.tobytes())
        except OSError as error:
            refuse_write(self._path, error)
        self.done += len(block)
        if time.monotonic() - self._recorded >= RECORD_SECONDS:
            self.record()

    def record(self) -> None:
        """Make sure that what was appended so far outlives this process.

        Raises:
            StoreError: it cannot be written; what was recorded before stays.
        """
        if self._file is None or not self.done:
            return
        self._sync(self._file)
        record = {
            "format": FORMAT, "key": self._key, **self.described(),
            "done": self.done, "digest": self._state.hexdigest(),
        }  # fmt: skip
        write_bytes(self._record, json.dumps(record, indent=1, sort_keys=True, allow_nan=False).encode())
        self._recorded = time.monotonic()

    def described(self) -> dict[str, object]:
        """Return dtype and shape of the whole array, and how many bytes there are so far, as JSON values."""
        if self._kind is None:
            raise ValueError("an array of no rows was described")
        dtype, shape = self._kind
        return {"dtype": dtype.str, "shape": [self._rows, *shape], "bytes": self._size}

    def finish(self, target: Path) -> None:
        """Move the array, which has all its rows now, to its place.

        Raises:
            StoreError: it cannot be written.
        """
        if self._file is None:
            raise ValueError("an array of no rows was finished")
        self._sync(self._file)
        self.close()
        try:
            self._path.replace(target)
            # Last, for until then it is what another process would go on from.
            self._record.unlink(missing_ok=True)
            sync_folder(target.parent)
        except OSError as error:
            refuse_write(target, error)

    def discard(self) -> None:
        """Forget everything: the next row is the first."""
        self.close()
        for path in (self._record, self._path):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self._state, self._kind, self._size, self.done = blake2b(digest_size=16), None, 0, 0

    def close(self) -> None:
        """Let go of the file; what was recorded stays."""
        if self._file is not None:
            # Closing tries once more to write what the disk refused, and must not hide the error that says so.
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _put(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
        self._state.update(data)
        self._size += len(data)

    def _sync(self, file: BinaryIO) -> None:
        try:
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            refuse_write(self._path, error)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the beginning of the .npy file of an array."""
    text = BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(text, described)  # pyright: ignore[reportArgumentType]
    return text.getvalue()
