"""What was learned of the files of one folder, kept on disk: appended records and fixed-size prints, safe to kill."""

import errno
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from querist.arrays import readonly
from querist.data.images.decode import REVISION, Pixels, readable_formats
from querist.data.images.prints import SIDE, Print
from querist.errors import StoreError
from querist.files import refuse_write, sync_folder

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a file as it was when it had this size and time.

    Attributes:
        path: relative to the source.
        size: bytes.
        mtime_ns: time of the last change.
        content: SHA-256 of the bytes, in hex; "" if it is no picture.
        row: where its print is, -1 if it is no picture.
        hash: perceptual hash.
        refused: why it is no picture; "" if it is one.
    """

    path: str
    size: int
    mtime_ns: int
    content: str = ""
    row: int = -1
    hash: int = 0
    refused: str = ""


class Index:
    """Records by path, in ``records.jsonl``, and prints by row, in ``prints.bin``.

    Prints are written and synced before the records that point to them, so a record that can be read is complete. A
    line that was cut off or damaged ends the file: what followed is read again from the images. There is one writer.

    Args:
        folder: where the two files are; made by the first `append`.
        size: side of the items.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.records: dict[str, Record] = {}
        self.rows = 0
        self._by_content: dict[str, Record] = {}
        self._bytes = 0  # complete records, beside which there may be a torn one
        self._read()

    @property
    def width(self) -> int:
        """Bytes per row of prints: the item and the proof."""
        return 3 * (self.size**2 + SIDE**2)

    def known(self, path: str, size: int, mtime_ns: int) -> Record | None:
        """Return the record of a file that has not changed since."""
        record = self.records.get(path)
        return record if record and (record.size, record.mtime_ns) == (size, mtime_ns) else None

    def same_content(self, content: str) -> Record | None:
        """Return a record of a file with these bytes, whatever its name."""
        return self._by_content.get(content)

    def append(self, fresh: Iterable[tuple[Record, Print | None]]) -> None:
        """Add records in order, with their prints where they have new ones; all are on disk when this returns.

        Raises:
            StoreError: the disk is full or the folder cannot be written; what was there before is intact.
        """
        records, prints = [], []
        for record, taken in fresh:
            records.append(record)
            if taken is not None:
                prints.append(taken.item.tobytes() + taken.proof.tobytes())
        if prints:
            _extend(self._prints, self.rows * self.width, b"".join(prints))
        lines = b"".join(map(_line, records))
        _extend(self._lines, self._bytes, lines)
        self.rows += len(prints)
        self._bytes += len(lines)
        self._remember(records)

    def prints(self) -> tuple[Pixels, Pixels]:
        """Return the items ``(rows, size, size, 3)`` and the proofs ``(rows, SIDE, SIDE, 3)``, memory-mapped."""
        if not self.rows:
            return np.empty((0, self.size, self.size, 3), np.uint8), np.empty((0, SIDE, SIDE, 3), np.uint8)
        try:
            mapped: npt.NDArray[np.uint8] = np.memmap(self._prints, np.uint8, "r", shape=(self.rows, self.width))
        except OSError as error:
            raise StoreError(f"cannot read {self._prints}: {error.strerror}. Open the folder again.") from error
        table = readonly(np.asarray(mapped))
        cut = 3 * self.size**2
        # Slices of rows, not copies: `reshape` of a slice with gaps between rows would copy the file into memory.
        item = np.lib.stride_tricks.as_strided(
            table, (self.rows, self.size, self.size, 3), (self.width, 3 * self.size, 3, 1), writeable=False
        )
        proof = np.lib.stride_tricks.as_strided(
            table[:, cut:], (self.rows, SIDE, SIDE, 3), (self.width, 3 * SIDE, 3, 1), writeable=False
        )
        return item, proof

    @property
    def _lines(self) -> Path:
        return self.folder / "records.jsonl"

    @property
    def _prints(self) -> Path:
        return self.folder / "prints.bin"

    def _remember(self, records: Iterable[Record]) -> None:
        for record in records:
            self.records[record.path] = record
            if record.content:
                self._by_content.setdefault(record.content, record)

    def _read(self) -> None:
        try:
            data = self._lines.read_bytes()
            rows = self._prints.stat().st_size // self.width if self._prints.exists() else 0
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"cannot read {self.folder}: {error.strerror}. Choose another cache folder.") from error
        for line in data.split(b"\n")[:-1]:
            record = _record(line)
            if record is None or record.row >= rows:
                break
            self.rows = max(self.rows, record.row + 1)
            self._bytes += len(line) + 1
            self._remember([record])


def folder_of(cache: Path, source: Path, size: int) -> Path:
    """Return where the index of a source is: it depends on its absolute path and on all that decides prints."""
    kind = json.dumps([FORMAT, REVISION, size, readable_formats()])
    names = (sha256(os.fsencode(source.absolute())), sha256(kind.encode()))
    return cache.joinpath(*(name.hexdigest()[:16] for name in names))


def _line(record: Record) -> bytes:
    body = json.dumps(asdict(record), separators=(",", ":"))
    return f"{zlib.crc32(body.encode()):08x} {body}\n".encode()


def _record(line: bytes) -> Record | None:
    check, _, body = line.partition(b" ")
    if check != b"%08x" % zlib.crc32(body):
        return None
    values: Mapping[str, str | int] = json.loads(body)
    return Record(**values)  # pyright: ignore[reportArgumentType]


def _extend(path: Path, start: int, data: bytes) -> None:
    """Make `data` the end of a file, from byte `start` on; what a killed process left there is cut off."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            is_new = os.fstat(handle).st_size == 0
            os.ftruncate(handle, start)
            os.lseek(handle, start, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                if not (count := os.write(handle, rest)):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                rest = rest[count:]
            os.fsync(handle)
            if is_new:
                sync_folder(path.parent)
        finally:
            os.close(handle)
    except OSError as error:
        refuse_write(path, error)
