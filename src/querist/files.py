"""Files that are there whole or not at all: written beside their place, synced, renamed; and what a file holds."""

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NoReturn

from querist.errors import DataError, StoreError

LEFTOVER_SECONDS = 24 * 3600
"""Age from which a temporary file is taken for one of a killed process."""

PIECE = 1 << 22
"""Bytes of a file that are read at a time."""


class AtomicFile:
    """A file being written; `write` raises `StoreError` where the disk refuses."""

    def __init__(self, file: BinaryIO, target: Path) -> None:
        self._file, self._target = file, target

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes."""
        try:
            return self._file.write(data)
        except OSError as error:
            refuse_write(self._target, error)


@contextmanager
def atomic_write(target: Path) -> Iterator[AtomicFile]:
    """Open a file that takes the place of `target` when the block ends without an error, and leaves no trace otherwise.

    Missing folders are made. Several processes may write the same target; the last to finish wins, and a reader sees
    one version or the other. After a power failure the target is the old or the new version.

    Raises:
        StoreError: the disk is full, the folder is read-only, or the like; what was there before is untouched.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("xb")
    except OSError as error:
        refuse_write(target, error)
    try:
        try:
            yield AtomicFile(file, target)
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                refuse_write(target, error)
        finally:
            # Closing tries once more to write what the disk refused, and must not hide the error that says so.
            with suppress(OSError):
                file.close()
        try:
            temporary.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            refuse_write(target, error)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(target: Path, data: bytes) -> None:
    """Write a whole file atomically.

    Raises:
        StoreError: it cannot be written; what was there before is untouched.
    """
    with atomic_write(target) as file:
        file.write(data)


def require_writable_folder(target: Path) -> None:
    """Make the folder of a file that is to be written after long work, and try it now.

    Raises:
        StoreError: nothing can be written there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=target.parent) as file:
            file.write(b"?")
    except OSError as error:
        refuse_write(target, error)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that killed processes left in `folder` more than a day ago."""
    # Younger ones may belong to a process that is still writing, perhaps on another host of a shared folder.
    for leftover in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()


def refuse_write(target: Path, error: OSError) -> NoReturn:
    """Raise the `StoreError` that says what to do about an `OSError` while writing `target`."""
    advice = "Check the path, or choose another folder."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "Free some space, or choose a folder on another disk, and start again."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "The folder is read-only for you: choose one you can write to."
    reason = os.strerror(error.errno) if error.errno else str(error)
    raise StoreError(f"cannot write {target}: {reason}. {advice} What was stored before is intact.") from error


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure, where the system can sync folders."""
    with suppress(PermissionError, NotImplementedError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def require_file(path: str, who: str, what: str) -> Path:
    """Return the path of a file that is there, ``~`` and ``$VARIABLES`` resolved.

    Args:
        path: as the user wrote it.
        who: wants it, for the error message, e.g. ``"encoder backbone"``.
        what: it is, e.g. ``"a file of weights"``.

    Raises:
        DataError: there is no such file.
    """
    resolved = Path(os.path.expandvars(path)).expanduser()
    if not resolved.is_file():
        shown = path if str(resolved) == path else f"{path} ({resolved})"
        unset = "An environment variable in it is not set. " if "$" in str(resolved) else ""
        raise DataError(
            f"{who}: expected {what} at {shown}, but there is none. {unset}Check the path; "
            f"relative ones start at the working directory, {Path.cwd()}."
        )
    return resolved


def file_digest(path: Path) -> str:
    """Return 32 hex characters that change with any byte of a file and do not depend on its name or place."""
    state = path.stat()
    return _digest(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: int) -> str:
    # Size and time are there to forget a file that was replaced.
    state = blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            state.update(piece)
    return state.hexdigest()
