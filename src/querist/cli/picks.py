"""What ``querist select`` writes: the table of picks, the contact sheet, and the list of what was set aside."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from querist.data.columnfiles import read_csv
from querist.data.dataset import SetAside
from querist.errors import DataError, UsageError
from querist.files import write_bytes
from querist.report.contact import kind_of

FILLED_IN = "label"
"""The empty column of a table of picks, for people to fill in and hand back."""


class Targets(NamedTuple):
    """Where the files of a selection go; None where one is not wanted."""

    picks: Path | None
    sheet: Path | None
    set_aside: Path | None


def targets(out: Path | None, sheet: Path | None, of_images: bool) -> Targets:
    """Return what to write and where.

    A folder gets ``picks.csv`` and ``picks.html``, a name that ends in ``.csv`` the table alone; of images,
    ``set_aside.csv`` comes beside it. Without a name images go to the present folder and arrays to the terminal.
    """
    folder = out if out and out.suffix.lower() != ".csv" else Path() if out is None and of_images else None
    picks = out if folder is None else folder / "picks.csv"
    shown = sheet if folder is None else sheet or folder / "picks.html"
    return Targets(picks, shown, picks.parent / "set_aside.csv" if picks and of_images else None)


def keep_labels(path: Path | None) -> None:
    """Raise `UsageError` if a table of picks that would be replaced holds labels somebody filled in."""
    if path is None or not path.is_file():
        return
    try:
        filled = any(read_csv(path, (FILLED_IN,)).text.get(FILLED_IN, ()))
    except DataError:
        filled = True  # not a table of ours: all the more reason not to replace it
    if filled:
        raise UsageError(
            f"{path} holds labels that people filled in, or is no table of picks; it is not replaced. Rename it and "
            "pass it as --labels, or choose another place with --out."
        )


def picks_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a table of picks with an empty column to fill in."""
    return _csv([*rows[0], FILLED_IN] if rows else [FILLED_IN], rows)


def write_set_aside(path: Path, entries: Iterable[SetAside]) -> None:
    """Write what of a source was not selected from, and why."""
    write_bytes(path, _csv(["path", "reason"], [entry._asdict() for entry in entries]))


def reasons_in_words(entries: Iterable[SetAside]) -> str:
    """Return how many files were set aside for what kind of reason: ``cut short 3, near copy 2``."""
    kinds = Counter(kind_of(entry) for entry in entries)
    return ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())


def table_of(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return the picks to print."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("rank", "id", "key", "utility", "reason"):
        table.add_column(column, justify="right" if column in ("rank", "id", "utility") else "left")
    for row in rows:
        utility = "" if row["utility"] is None else f"{row['utility']:.4g}"
        table.add_row(str(row["rank"]), str(row["id"]), row["key"], utility, row["reason"])
    return table


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
