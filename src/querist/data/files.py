"""Arrays stored by numpy: the datasets ``npz`` (one archive) and ``npy`` (a feature file and a label file)."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from querist.data.columnfiles import read_csv
from querist.data.columns import item_keys
from querist.data.dataset import Dataset, register
from querist.data.memory import from_arrays
from querist.errors import DataError

MEMBERS = {"x": ("x", "features"), "y": ("y", "labels"), "split": ("split",), "keys": ("keys", "ids"),
           "classes": ("classes",)}  # fmt: skip
DAMAGED = (OSError, EOFError, ValueError, BadZipFile, ZlibError)


@register("npz")
def npz(
    path: str, classes: tuple[str, ...] | None = None, test_share: float | None = None, split_seed: int = 0
) -> Dataset:
    """Items, labels and splits in one .npz archive, of any modality.

    The archive holds ``x`` or ``features`` ``(n, ...)``, and optionally ``y`` or ``labels``, ``split``, ``keys`` or
    ``ids``, and ``classes``; their meaning is that of `querist.data.memory.from_arrays`. Items without keys are called
    ``row/0``, ``row/1``, ...

    Args:
        path: the archive.
        classes: class names in order, if the archive does not declare them.
        test_share: share of the labelled pool to draw as test split, if the archive has none.
        split_seed: seed of that draw.

    Raises:
        DataError: no such file, not an archive, damaged, pickled objects in it, or arrays that do not fit together.
    """
    source = Path(path)
    arrays = read_npz(source)
    found: dict[str, npt.NDArray[Any]] = {}
    for role, names in MEMBERS.items():
        present = [name for name in names if name in arrays]
        if len(present) > 1:
            raise DataError(f"{source}: expected one of {' and '.join(present)}, got both.")
        if present:
            found[role] = arrays[present[0]]
    refuse_near_misses(arrays, [n for role, names in MEMBERS.items() if role not in found for n in names], str(source))
    if "x" not in found:
        raise DataError(f"{source}: expected an array 'x' or 'features', got {', '.join(arrays) or 'nothing'}.")
    stored = tuple(map(str, found["classes"].tolist())) if "classes" in found else None
    if stored is not None and classes is not None and stored != classes:
        raise DataError(f"{source}: the archive declares the classes {list(stored)}, the settings {list(classes)}.")
    x = found["x"]
    n = len(x) if x.ndim else 0
    return from_arrays(
        source.stem, x, found.get("y"), split=found.get("split"),
        keys=item_keys(found.get("keys"), n, "row", str(source)), classes=classes or stored,
        test_share=test_share, split_seed=split_seed, where=str(source),
    )  # fmt: skip


@register("npy")
def npy(
    path: str,
    labels: str | None = None,
    classes: tuple[str, ...] | None = None,
    test_share: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """A memory-mapped .npy file of items and a file of labels, row by row.

    Args:
        path: items ``(n, ...)``.
        labels: an .npy file of ``(n,)`` class numbers or names, or a .csv file with one line per item and the columns
            ``label`` and, if wanted, ``id`` and ``split``.
        classes: class names in order.
        test_share: share of the labelled pool to draw as test split, if the labels come without splits.
        split_seed: seed of that draw.

    Raises:
        DataError: no such file, damaged, pickled objects in it, or files of different lengths.
    """
    source = Path(path)
    x = read_npy(source)
    columns: dict[str, list[str]] = {}
    y: Any = None
    if labels is not None:
        beside = Path(labels)
        if beside.suffix == ".csv":
            columns = read_csv(beside, ("id", "label", "split")).text
            if "label" not in columns:
                raise DataError(f"{beside}: expected a column 'label'.")
            y = as_labels(columns["label"], classes)
        elif beside.suffix == ".npy":
            y = read_npy(beside)
        else:
            raise DataError(f"{beside}: expected labels in an .npy or a .csv file.")
        require_equal_lengths(x, source, y, beside)
    n = len(x) if x.ndim else 0
    return from_arrays(
        source.stem, x, y, split=columns.get("split"), keys=item_keys(columns.get("id"), n, "row", str(labels)),
        classes=classes, test_share=test_share, split_seed=split_seed, where=str(source),
    )  # fmt: skip


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Return the array of an .npy file, memory-mapped and read-only.

    Raises:
        DataError: no such file, not an .npy file, cut short, or an array of Python objects.
    """
    try:
        with path.open("rb") as file:
            is_archive = file.read(2) == b"PK"
        if not is_archive:
            return np.asarray(npy_format.open_memmap(path, mode="r"))
    except DAMAGED as error:
        raise _unreadable(path, "an .npy file with an array of numbers or strings", error) from error
    raise DataError(f"{path}: expected an .npy file with one array, got an .npz archive; read it as 'npz'.")


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz archive by name.

    Raises:
        DataError: no such file, not an archive, damaged, or an array of Python objects in it.
    """
    try:
        # Opened here, for np.load leaves a damaged archive open.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.ndarray):
                return {name: archive[name] for name in archive.files}
    except DAMAGED as error:
        raise _unreadable(path, "an .npz archive of arrays of numbers or strings", error) from error
    raise DataError(f"{path}: expected an .npz archive, got an .npy file with one array; read it as 'npy'.")


def require_equal_lengths(first: Any, first_path: Path, second: Any, second_path: Path) -> None:
    """Raise `DataError` that names both files and both lengths, if they differ."""
    lengths = [len(array) if np.ndim(array) else 0 for array in (first, second)]
    if lengths[0] != lengths[1]:
        raise DataError(
            f"Expected one row per item in both files, got {lengths[0]} rows in {first_path} and {lengths[1]} in "
            f"{second_path}. Row i of one must belong to row i of the other."
        )


def refuse_near_misses(given: Iterable[str], missing: Sequence[str], where: str) -> None:
    """Raise `DataError` if a name in `given` looks like a misspelling of a `missing` one; other extras are ignored."""
    for name in given:
        close = get_close_matches(name.lower(), missing, n=1, cutoff=0.75)
        if close and name not in missing:
            raise DataError(f"{where}: {name!r} is not known here. Did you mean {close[0]!r}? Rename it.")


def as_labels(text: Sequence[str], classes: Sequence[str] | None) -> Any:
    """Return a text column of labels as class numbers if it holds only integers, otherwise as class names.

    Integers that are all declared class names are names.
    """
    known = [label for label in text if label]
    if not known or any(not _is_integer(label) for label in known) or set(known) <= set(classes or ()):
        return list(text)
    return np.array([int(label) if label else -1 for label in text], dtype=np.int64)


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 10


def _unreadable(path: Path, expected: str, error: BaseException) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: there is no such file; expected {expected}.")
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return DataError(
            f"{path}: it holds pickled Python objects, which are refused because unpickling runs code from the file. "
            f"Expected {expected}; convert it with numpy, e.g. np.asarray(values, dtype=np.float32)."
        )
    return DataError(f"{path}: cannot be read ({error or type(error).__name__}); expected {expected}.")
