"""Files that list ids: .npy, .txt (one per line), .csv (a column ``id``) and .json (a list)."""

import io
import json
from pathlib import Path

import numpy as np

from querist.arrays import Ids, as_ids
from querist.data.columnfiles import read_csv
from querist.data.files import read_npy
from querist.errors import DataError
from querist.files import write_bytes

SUFFIXES = (".npy", ".txt", ".csv", ".json")


def read_ids(path: str | Path, upper: int | None = None) -> Ids:
    """Return the ids in a file, in its order.

    Args:
        path: its suffix decides the format.
        upper: number of items the ids refer to.

    Raises:
        DataError: no such file, another format, something that is no integer, a repeated id or one out of range.
    """
    path = Path(path)
    if path.suffix == ".npy":
        return as_ids(read_npy(path), upper, what=f"{path}: ids")
    try:
        if path.suffix == ".txt":
            words = path.read_text(encoding="utf-8").split()
        elif path.suffix == ".csv":
            words = read_csv(path, ("id",)).text.get("id")
        elif path.suffix == ".json":
            words = json.loads(path.read_bytes())
        else:
            raise DataError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}.")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; expected a list of ids.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of ids ({error}).") from error
    if not isinstance(words, list):
        expected = "a column 'id'" if path.suffix == ".csv" else "a list of integers"
        raise DataError(f"{path}: expected {expected}.")
    return as_ids(np.array([_integer(path, i, word) for i, word in enumerate(words)], np.int64), upper,
                  what=f"{path}: ids")  # fmt: skip


def write_ids(path: str | Path, ids: Ids) -> None:
    """Write ids in their order; the suffix decides the format.

    Raises:
        DataError: another format, or ids that are not distinct non-negative integers.
        StoreError: the file cannot be written; what was there before is untouched.
    """
    path = Path(path)
    ids = as_ids(ids)
    if path.suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, ids, allow_pickle=False)
        write_bytes(path, buffer.getvalue())
    elif path.suffix == ".json":
        write_bytes(path, json.dumps(ids.tolist()).encode() + b"\n")
    elif path.suffix in (".txt", ".csv"):
        header = ["id"] if path.suffix == ".csv" else []
        write_bytes(path, "".join(f"{line}\n" for line in [*header, *ids.tolist()]).encode())
    else:
        raise DataError(f"{path}: expected a file name that ends in {', '.join(SUFFIXES)}.")


def _integer(path: Path, position: int, word: object) -> int:
    if isinstance(word, int) and not isinstance(word, bool) and abs(word) < 2**63:
        return word
    if isinstance(word, str) and word.isascii() and word.removeprefix("-").isdigit() and len(word) < 19:
        return int(word)
    raise DataError(f"{path}: expected integers, got {word!r} at position {position}.")
