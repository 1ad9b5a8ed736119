"""Numbers about items that somebody stored in a file: teachers' probabilities, scores, rankings."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Ids, Rows, as_ids, require_finite, some
from querist.errors import DataError
from querist.files import require_file
from querist.strategies._scorer_card import classes_option, read_card

MEMBERS = ("ids", "values")
"""What an .npz archive holds."""

DAMAGED = (OSError, EOFError, ValueError, BadZipFile, ZlibError)


def stored_rows(path: str, ids: Ids, shape: tuple[int | None, ...] = (), *, who: str) -> Array:
    """Return what a file says about items, ``(len(ids), *shape)`` floating point, in the order of `ids`.

    An .npy file has one row per item of the manifest, row i for item i, and is memory-mapped: only what is asked for is
    read. An .npz archive has an array ``ids``, the items it knows about, and an array ``values`` with a row for each;
    it may know about more items than are asked for, in any order. Nothing is unpickled.

    Args:
        path: the file; ``~`` and ``$VARIABLES`` are resolved.
        ids: of the items, positions in the manifest.
        shape: of one row: ``()`` for a number, ``(c,)`` for probabilities, ``(None, c)`` for any number of draws.
        who: wants it, for error messages, e.g. ``"strategy pcoreset"``.

    Raises:
        DataError: no such file, damaged, of another shape, not numbers, not finite, or without one of the items.
    """
    source = require_file(path, who, "a file of stored numbers, .npy or .npz,")
    values, rows = _located(source, ids, who)
    if len(values.shape) != 1 + len(shape) or any(
        want not in (None, have) for want, have in zip(shape, values.shape[1:], strict=True)
    ):
        expected = ", ".join(["n", *("any" if size is None else str(size) for size in shape)])
        raise DataError(
            f"{who}: expected the numbers in {source} to have the shape ({expected}), a row per item, got "
            f"{tuple(values.shape)}. Columns must be the declared classes, in their order."
            f"{_advice(source, values.shape, shape)}"
        )
    if values.dtype.kind not in "fiu":
        raise DataError(f"{who}: expected numbers in {source}, got {values.dtype}.")
    found = np.asarray(values[rows])
    found = found if found.dtype.kind == "f" else found.astype(np.float64)
    require_finite(found, f"{who}: {source}", ids)
    return found


def all_stored_rows(path: str, d: int, *, who: str) -> Array:
    """Return all rows ``(r, d)`` of an .npy file, which are of no items of the manifest; errors as `stored_rows`."""
    held = _read(require_file(path, who, "a file of stored numbers, .npy,"), who)
    rows = len(held) if isinstance(held, np.ndarray) and held.ndim else 0
    return stored_rows(path, np.arange(rows), (d,), who=who)


def stored_ranks(path: str, ids: Ids, *, who: str) -> Ids:
    """Return ``(len(ids),)``: the places of items in a stored ranking, from 0.

    An .npy file is an array of ids, most wanted first, and must hold each of 0..n-1 once; in an .npz archive the array
    is called ``ids`` and must hold each once. Nothing is unpickled.

    Args:
        path: the file; ``~`` and ``$VARIABLES`` are resolved.
        ids: of the items, positions in the manifest.
        who: wants it, for error messages.

    Raises:
        DataError: no such file, damaged, ids that repeat or are no integers, or an item that is not ranked.
    """
    source = require_file(path, who, "a file of ranked ids, .npy or .npz,")
    held = _read(source, who)
    if not isinstance(held, np.ndarray) and "ids" not in held:
        raise DataError(f"{who}: expected an array 'ids' in {source}, got {', '.join(held) or 'none'}.")
    whole = isinstance(held, np.ndarray)
    ranked = np.asarray(held if whole else held["ids"])
    ranked = as_ids(ranked, len(ranked) if whole and ranked.ndim == 1 else None, what=f"{who}: the ids in {source}")
    rank, lacking = _sought(ranked, ids)
    if len(lacking):
        raise DataError(
            f"{who}: {source} does not rank {len(lacking)} of {len(ids)} items, ids {some(lacking)}. A ranking holds "
            "every item of the pool once; ids are positions in the dataset, from 0."
        )
    return rank.astype(np.int64)


def _advice(source: Path, found: tuple[int, ...], shape: tuple[int | None, ...]) -> str:
    """Return how to declare the classes that a file of outputs has columns for, if that is what does not fit."""
    if not shape or shape[-1] is None or len(found) != 1 + len(shape) or found[-1] < 2:
        return ""
    card = read_card(source)
    named = () if card is None or len(card.classes) != found[-1] else card.classes
    option = classes_option(named) if named else f"--classes {found[-1]}"
    return (
        f" Here {shape[-1]} classes are declared, the file has {found[-1]}: if it is right, declare them, by "
        f"{option} of querist select or by classes=(...) of the dataset."
    )


def _located(source: Path, ids: Ids, who: str) -> tuple[npt.NDArray[Any], Rows]:
    """Return the values of a file, and which of its rows the items are."""
    held = _read(source, who)
    if isinstance(held, np.ndarray):
        if held.ndim == 0:
            raise DataError(f"{who}: expected an array with a row per item in {source}, got a single number.")
        beyond = ids[ids >= len(held)]
        if len(beyond):
            raise DataError(
                f"{who}: {source} has {len(held)} rows, one per item, but is asked about the items {some(beyond)}. "
                "Store a row for every item of the dataset, in its order, or an .npz archive with 'ids' and 'values'."
            )
        return held, ids.astype(np.intp)
    missing = [name for name in MEMBERS if name not in held]
    if missing:
        raise DataError(
            f"{who}: expected the arrays 'ids' and 'values' in {source}, got {', '.join(held) or 'none'}. "
            "Store them with numpy.savez(file, ids=..., values=...)."
        )
    known, values = as_ids(held["ids"], what=f"{who}: 'ids' in {source}"), held["values"]
    if values.ndim == 0 or len(values) != len(known):
        raise DataError(f"{who}: expected a row of 'values' for each of {len(known)} 'ids' in {source}.")
    rows, lacking = _sought(known, ids)
    if len(lacking):
        raise DataError(
            f"{who}: {source} says nothing about {len(lacking)} of {len(ids)} items, ids {some(lacking)}. Add them: "
            "ids are positions in the dataset, from 0."
        )
    return values, rows


def _sought(known: Ids, ids: Ids) -> tuple[Rows, Ids]:
    """Return where ids stand among distinct ids in any order, and which of them do not."""
    if not len(known):
        return np.zeros(len(ids), np.intp), ids
    order = np.argsort(known)
    rows = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)]
    return rows, ids[known[rows] != ids]


def _read(source: Path, who: str) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
    """Return the array of an .npy file, memory-mapped, or those of an .npz archive by name."""
    try:
        with source.open("rb") as file:
            archive = file.read(2) == b"PK"
        if not archive:
            return np.lib.format.open_memmap(source, mode="r")
        # Opened here, for numpy leaves a damaged archive open.
        with source.open("rb") as file:
            held = np.load(file, allow_pickle=False)
            return {name: held[name] for name in held.files}
    except DAMAGED as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise DataError(
                f"{who}: {source} holds pickled Python objects, which are refused because unpickling runs code from "
                "the file. Store plain numbers: numpy.save(file, numpy.asarray(values, dtype=float))."
            ) from error
        raise DataError(
            f"{who}: cannot read {source} ({error or type(error).__name__}). Expected an .npy file with a row per item "
            "of the dataset, or an .npz archive with 'ids' and 'values'; numpy.save and numpy.savez write them."
        ) from error
