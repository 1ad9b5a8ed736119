"""The dataset ``folder``: image files in a folder, with a class per folder or without labels."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from querist.data.columns import SPLIT_NAMES, UNLABELLED
from querist.data.dataset import Dataset, register
from querist.data.images.collect import Entry, collect
from querist.data.images.decode import SUFFIXES
from querist.data.images.ingest import cache_folder, ingest
from querist.data.images.prints import require_size
from querist.data.images.walk import Found, Passed, by_bytes, walk
from querist.data.manifest import POOL, SPLITS
from querist.errors import DataError, UndeclaredClassesError, suggest


@register("folder")
def folder(
    path: str,
    labels: Literal["folders", "none"] = "folders",
    classes: tuple[str, ...] | None = None,
    size: int = 64,
    near_copies: Literal["keep", "leave_out"] = "keep",
    test_share: float | None = None,
    split_seed: int = 0,
    cache: str | None = None,
) -> Dataset:
    """Image files in a folder: a class per folder, or all files below it without labels.

    Every file is read once, decoded in full and remembered, so that a broken one is known before anything is chosen,
    and opening the folder again takes no time. What is no picture is set aside with its path and the reason: empty,
    cut short or damaged files, other kinds of files, pictures that are too large, links to nowhere, and so on
    (`querist.data.images.decode` and `walk` have the rules). An item's key is a hash of its content and items are in
    the order of keys, so renaming or moving files changes no pick. Of files with the same content one counts; the
    others are set aside, and if their labels differ the item is left out. Nothing is written into the folder.

    Items are ``(n, size, size, 3)`` uint8: the central square of every picture. `Dataset.picture` decodes the file.

    Args:
        path: the folder. With ``labels="folders"`` the folders in it are the classes, however deep the files lie in
            them; if all of them are called like splits (``train``, ``test``, ``val``, ``pool``, ...), they are the
            splits, and the folders in these are the classes.
        labels: ``"none"`` ignores the names of folders; the classes must then be declared.
        classes: class names in order; default the names of the folders with files in them, sorted.
        size: side of the items in pixels.
        near_copies: ``"leave_out"`` takes pool items that look like one with a smaller id out of the pool and sets
            them aside; ``"keep"`` does not look, and `querist.data.images.near.near_copies` tells on request.
        test_share: share of the labelled pool to draw as test split, if the folders are no splits.
        split_seed: seed of that draw.
        cache: where to remember what was read; default ``ingest`` in the store (``QUERIST_STORE``, or
            ``./querist-store``).

    Raises:
        DataError: no such folder, images beside the class folders, folders that are no declared class, no image at
            all (lists the reasons), fewer than two classes.
        UndeclaredClassesError: ``labels="none"`` without `classes`.
        StoreError: the cache cannot be written; what was read is not lost.
    """
    root = Path(path)
    require_size(size)
    if labels == "none" and classes is None:
        raise UndeclaredClassesError(
            f"{root}: without labels the classes must be declared, e.g. classes=('cat', 'dog')."
        )
    files, passed = walk(root)
    if labels == "folders":
        has_splits = _are_splits(files)
        files, misplaced = _in_folders(root, files, 2 if has_splits else 1)
        passed += misplaced
        classes = _classes(root, files, 1 if has_splits else 0, classes)
    else:
        has_splits = False
    ingested = ingest(root, files, size, cache_folder(cache, root))
    number = {name: i for i, name in enumerate(classes or ())}
    entries: list[Entry] = []
    for record in ingested.pictures:
        parts = PurePosixPath(record.path).parts
        split = SPLIT_NAMES[parts[0].lower()] if has_splits else POOL
        label = UNLABELLED if labels == "none" else number[parts[1 if has_splits else 0]]
        entries.append(Entry(record, label, SPLITS.index(split)))
    return collect(
        root, root.resolve().name, ingested, entries, sorted([*passed, *ingested.passed], key=by_bytes), classes or (),
        near_copies=near_copies, test_share=test_share, split_seed=split_seed,
    )  # fmt: skip


def _are_splits(files: Sequence[Found]) -> bool:
    """Whether all folders at the top that hold files are called like splits, in capitals or not."""
    top = {file.path.partition("/")[0].lower() for file in files if "/" in file.path}
    return bool(top) and top <= SPLIT_NAMES.keys()


def _in_folders(root: Path, files: Sequence[Found], depth: int) -> tuple[list[Found], list[Passed]]:
    """Return the files that lie in class folders, and those beside them that nobody meant as images.

    Raises:
        DataError: a file with the name of an image lies beside the class folders.
    """
    deep = [file for file in files if file.path.count("/") >= depth]
    others = [file for file in files if file.path.count("/") < depth]
    images = [file.path for file in others if PurePosixPath(file.path).suffix.lower() in SUFFIXES]
    if images:
        where = "the folder itself" if depth == 1 else "the folders of the splits"
        raise DataError(
            f"{root}: expected images in class folders, but {len(images)} lie directly in {where}, e.g. {images[0]}. "
            "Pass labels='none' to use all images without labels, or move them into folders named after their class."
        )
    return deep, [
        Passed(file.path, "it lies beside the class folders and is not called like an image") for file in others
    ]


def _classes(root: Path, files: Sequence[Found], level: int, declared: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the declared classes, or the names of the class folders."""
    names = sorted({PurePosixPath(file.path).parts[level] for file in files})
    if declared is None:
        if len(names) < 2:
            raise DataError(
                f"{root}: expected at least two class folders, got {', '.join(names) or 'none'}. Pass labels='none' "
                "to use all images without labels, or declare the classes by classes=(...)."
            )
        return tuple(names)
    for name in names:
        if name not in declared:
            raise DataError(f"{root}: the folder {name!r} is no declared class. {suggest(name, declared)}")
    return declared
