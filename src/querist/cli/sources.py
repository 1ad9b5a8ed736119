"""What people choose from: files of features, folders and lists of images, registered datasets, all by one word."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import typer

from querist.data.columnfiles import read_csv, read_parquet
from querist.data.dataset import Dataset, datasets
from querist.data.images.ingest import cache_folder
from querist.encoders.base import Encoder
from querist.encoders.zero_shot import ZeroShot
from querist.errors import UndeclaredClassesError, UnknownNameError, UsageError

StoreFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="QUERIST_STORE",
        show_default=False,
        help="Folder for what was computed, so that a killed command continues. Images: ./querist-store.",
    ),
]

ARRAYS = {".npz": "npz", ".npy": "npy"}
LISTS = (".csv", ".parquet", ".pq", ".jsonl")
UNDECLARED = ("class 1", "class 2")
"""Stand-ins for the classes of a source without labels; nothing that starts without labels looks at them."""
UNLABELLED = ("folder", "npy")
"""Sources that, opened as they are here, never have labels: they need not be read once to find that out."""
ENCODED = "querist features 1"
"""What the record beside a file of features says of its format."""
STORE = Path("querist-store")
MOST_CLASSES = 100_000
"""More are a slip of the hand, and would fill the memory."""


def open_source(
    source: str, *, classes: Sequence[str] | None = None, prefix: str | None = None, store: Path | None = None
) -> Dataset:
    """Return what a word on the command line stands for.

    A folder: all images in it and below, without labels; of images that look alike one is in the pool. A ``.npy`` or
    ``.npz`` file: arrays, with paths and splits if ``querist encode`` wrote them. A ``.csv``, ``.parquet`` or
    ``.jsonl`` file: a list of images if it has a column ``path`` and no `prefix` is given, otherwise a table of
    features. Anything else: a registered dataset, by name or composition.

    Args:
        source: the word.
        classes: class names in order, where the source does not have them; labels are not needed.
        prefix: feature columns of a table begin with this.
        store: where to remember what was read of images; by default where `querist.data.images.ingest` says.

    Raises:
        UsageError: there is no such file, folder or dataset, or there are both a folder and a dataset of that name.
        DataError: it cannot be read; see the datasets.
    """
    path = Path(source)
    if (path.is_dir() or path.is_file()) and source in datasets.names():
        raise UsageError(
            f"{source!r} is a registered dataset and also lies in this folder. Write './{source}' for what lies here, "
            f"'{source}()' for the dataset."
        )
    kind = ARRAYS.get(path.suffix.lower())
    memory = {"cache": str(store / "ingest")} if store else {}
    if path.is_dir():
        spec: dict[str, Any] = {
            "name": "folder",
            "path": source,
            "labels": "none",
            "near_copies": "leave_out",
            **memory,
        }
    elif is_encoded(path):
        spec = {"name": "table", "path": str(path.with_suffix(".csv")), "features": source}
    elif kind:
        spec = {"name": kind, "path": source}
    elif path.suffix.lower() in LISTS:
        if prefix is None and "path" in _columns(path):
            spec = {"name": "image_list", "path": source, "near_copies": "leave_out", **memory}
        else:
            spec = {"name": "table", "path": source} | ({"prefix": prefix} if prefix else {})
    else:
        return _registered(source)
    if not classes and spec["name"] in UNLABELLED:
        classes = UNDECLARED
    if classes:
        return datasets.build({**spec, "classes": tuple(classes)})
    try:
        return datasets.build(spec)
    except UndeclaredClassesError:
        return datasets.build({**spec, "classes": UNDECLARED})


def labelled_source(source: str, *, prefix: str | None = None, store: Path | None = None) -> Dataset:
    """Return what a word on the command line stands for as something to learn from.

    As `open_source`, but the folders in a folder are its classes, as in ``querist evaluate --dataset``.

    Raises:
        UsageError, DataError: as `open_source`.
    """
    described = described_source(source)
    if isinstance(described, dict) and described["name"] == "folder":
        return datasets.build(described | ({"cache": str(store / "ingest")} if store else {}))
    return open_source(source, prefix=prefix, store=store)


def described_source(word: str) -> str | dict[str, Any]:
    """Return what a word on the command line says of a labelled dataset: a folder, an archive, or a registered one."""
    path = Path(word)
    if path.is_dir():
        return {"name": "folder", "path": str(path.resolve())}
    if path.suffix.lower() == ".npz":
        return {"name": "npz", "path": str(path.resolve())}
    return word


def declared_classes(text: str) -> tuple[str, ...]:
    """Return the classes that ``--classes`` declares: names in order, or with a number ``0``, ``1``, and so on.

    Raises:
        UsageError: fewer than two, a blank one, one twice, or more than anybody has.

    >>> declared_classes("cat, dog"), declared_classes("3")
    (('cat', 'dog'), ('0', '1', '2'))
    """
    names = [name.strip() for name in text.split(",")]
    if len(names) == 1 and names[0].isascii() and names[0].isdigit():
        if len(names[0]) > len(str(MOST_CLASSES)) or int(names[0]) > MOST_CLASSES:
            raise UsageError(f"--classes: expected at most {MOST_CLASSES:,} classes, got {text}.")
        names = [str(number) for number in range(int(names[0]))]
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise UsageError(
            f"--classes: expected two or more different names, as in cat,dog,bird, or how many classes there are, as "
            f"in 10, got {text!r}."
        )
    return tuple(names)


def with_classes(encoder: Any, data: Dataset) -> Encoder:
    """Return an encoder that looks for named classes with those of the data, if it has none and they are declared."""
    if isinstance(encoder, ZeroShot) and not encoder.classes and data.classes != UNDECLARED:
        return replace(encoder, classes=data.classes)
    return encoder


def is_of_images(data: Dataset) -> bool:
    """Return whether the items are images that an encoder of images can look at."""
    first = data.items[np.arange(min(1, len(data.items)))]
    return data.picture is not None and first.dtype == np.uint8 and first.ndim >= 3


def is_of_files(data: Dataset) -> bool:
    """Return whether the items are files of images, which people name by their paths."""
    return data.paths is not None and data.picture is not None


def is_encoded(path: Path) -> bool:
    """Return whether a file of features was written by ``querist encode``, with a table of its rows beside it."""
    if path.suffix.lower() != ".npy" or not path.is_file() or not path.with_suffix(".csv").is_file():
        return False
    try:
        record = json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("format") == ENCODED


def store_for(source: str, given: Path | None) -> Path:
    """Return the folder where what was computed for a source is kept: never among its images."""
    if given:
        return given
    path = Path(source)
    return cache_folder(None, path).parent if path.is_dir() else STORE


def _columns(path: Path) -> Sequence[str]:
    if path.suffix.lower() == ".csv":
        return read_csv(path, ()).names
    if path.suffix.lower() == ".jsonl":
        return ("path",)
    return read_parquet(path, ()).names


def _registered(source: str) -> Dataset:
    try:
        return datasets.build(source)
    except UnknownNameError as error:
        if error.name != source:
            raise
        raise UsageError(f"there is no file or folder {source!r}, and it is no dataset: {error}") from None
    except UsageError as error:
        if any(sign in source for sign in "/\\."):
            raise UsageError(
                f"there is no file or folder {source!r}. Expected a folder of images, a .npy, .npz, .csv, .parquet or "
                ".jsonl file, or the name of a dataset (querist datasets lists them)."
            ) from error
        raise
