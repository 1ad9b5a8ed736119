"""Text and number columns of CSV and Parquet files, read strictly: no guessed types, no gaps filled."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from querist.errors import DataError


class Columns(NamedTuple):
    """What was read: all columns have the same number of rows."""

    names: tuple[str, ...]
    """Every column of the file, in order."""
    text: dict[str, list[str]]
    """The text columns that were asked for and exist; ``""`` where a cell is empty."""
    numbers: npt.NDArray[np.float32]
    """``(n, d)``, one column per number column."""


def read_csv(path: Path, text: Sequence[str], is_number: Callable[[str], bool] = lambda name: False) -> Columns:
    """Return columns of a UTF-8 CSV file with a header.

    Args:
        path: the file.
        text: which columns to read as text.
        is_number: whether a column of this name is read as numbers; asked for the columns not in `text`.

    Raises:
        DataError: no such file, no header, lines of different length, a cell that is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = tuple(next(reader, ()))
            _check_header(path, header)
            chosen = {name: header.index(name) for name in text if name in header}
            columns = [i for i, name in enumerate(header) if name not in text and is_number(name)]
            cells: dict[str, list[str]] = {name: [] for name in chosen}
            numbers: list[npt.NDArray[np.float32]] = []
            n = 0
            for row in filter(None, reader):
                n += 1
                if len(row) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: expected {len(header)} fields, as the header has, "
                        f"got {len(row)}."
                    )
                for name, column in chosen.items():
                    cells[name].append(row[column])
                if columns:
                    numbers.append(_numbers(path, reader.line_num, header, row, columns))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; expected a CSV file with a header.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 CSV ({error}).") from error
    return Columns(header, cells, np.array(numbers, np.float32) if numbers else np.empty((n, len(columns)), np.float32))


def read_parquet(path: Path, text: Sequence[str], is_number: Callable[[str], bool] = lambda name: False) -> Columns:
    """Return columns of a Parquet file; arguments as for `read_csv`. Text columns may be stored as integers.

    Raises:
        DataError: no such file, not Parquet, or a column of another type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        whole = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; expected a Parquet file.") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}).") from error
    header = tuple(whole.column_names)
    _check_header(path, header)
    cells: dict[str, list[str]] = {}
    for name in text:
        if name in header:
            values: list[Any] = whole.column(name).to_pylist()
            for row, value in enumerate(values):
                if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
                    raise DataError(
                        f"{path}: expected strings or integers in column {name!r}, got {value!r} in row {row}. "
                        "Integers become floats when pandas stores missing values: convert the column to Int64."
                    )
            cells[name] = ["" if value is None else str(value) for value in values]
    numbers = [name for name in header if name not in text and is_number(name)]
    matrix = np.empty((whole.num_rows, len(numbers)), dtype=np.float32)
    for j, name in enumerate(numbers):
        kind = whole.schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise DataError(f"{path}: expected numbers in column {name!r}, got {kind}.")
        with np.errstate(over="ignore"):
            matrix[:, j] = whole.column(name).to_numpy()
    return Columns(header, cells, matrix)


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    if not header:
        raise DataError(f"{path}: expected a header with the names of the columns, got an empty file.")
    if len(set(header)) != len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise DataError(f"{path}: the columns {', '.join(twice)} occur more than once.")


def _numbers(
    path: Path, line: int, header: Sequence[str], row: Sequence[str], columns: Sequence[int]
) -> npt.NDArray[np.float32]:
    try:
        # Through Python's float, which rounds correctly; a number beyond float32 becomes infinite and is named later.
        with np.errstate(over="ignore"):
            return np.array([float(row[i]) for i in columns]).astype(np.float32)
    except ValueError:
        for i in columns:
            try:
                float(row[i])
            except ValueError:
                raise DataError(
                    f"{path}, line {line}: expected a number in column {header[i]!r}, got {row[i]!r}."
                ) from None
        raise
