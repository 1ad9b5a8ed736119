"""Pictures as items of a dataset: a fixed-size array for encoders and training, the whole file for people."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from querist.arrays import Hashes, Ids, Rows, readonly
from querist.data.images.decode import REVISION, Pixels, Refused, decode
from querist.data.images.index import Index, Record
from querist.errors import DataError


class ImageItems:
    """Items ``(n, size, size, 3)`` uint8, memory-mapped: the central square of every picture, antialiased.

    Args:
        index: where the prints are.
        records: one per item, in the order of ids.

    Attributes:
        size: side of the items.
        hashes: perceptual hash of every item.
        rows: row of every item among the prints.
        proofs: ``(rows, SIDE, SIDE, 3)`` uint8 of all prints, which show whether two pictures look the same.
    """

    def __init__(self, index: Index, records: Sequence[Record]) -> None:
        self.size = index.size
        self.hashes: Hashes = readonly(np.array([record.hash for record in records], dtype=np.uint64))
        self.rows: Rows = np.array([record.row for record in records], dtype=np.intp)
        self._prints, self.proofs = index.prints()
        # Of contents and of what decides how they become items; no path, no time.
        state = sha256(f"images {REVISION} {index.size}".encode())
        for record in records:
            state.update(bytes.fromhex(record.content))
        self._digest = state.hexdigest()[:32]

    @property
    def fingerprint(self) -> str:
        """Digest of the contents of the files, the size, and the revision of the rules of decoding."""
        return self._digest

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, ids: Ids) -> Pixels:
        return self._prints[self.rows[ids]]


def picture_of(paths: Sequence[str], contents: Sequence[str]) -> Callable[[int], Pixels]:
    """Return a function that decodes the whole file of an item by the rules of `decode`.

    It raises `DataError` if the file is gone or no longer what was ingested.
    """

    def picture(item: int) -> Pixels:
        path = Path(paths[item])
        try:
            data = path.read_bytes()
            if sha256(data).hexdigest() == contents[item]:
                return decode(data)
            problem = "its content has changed since it was read"
        except OSError as error:
            problem = str(error.strerror)
        except Refused as refusal:  # read before, so memory is short or Pillow is another one
            problem = str(refusal)
        raise DataError(f"{path}: {problem}. Open the dataset again, so that it sees the files as they are now.")

    return picture
