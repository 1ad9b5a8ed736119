"""The dataset ``table``: a CSV or Parquet manifest with one line per item."""

from dataclasses import replace
from pathlib import Path

from querist.data.columnfiles import Columns, read_csv, read_parquet
from querist.data.columns import item_keys
from querist.data.dataset import Dataset, register
from querist.data.files import as_labels, read_npy, refuse_near_misses, require_equal_lengths
from querist.data.memory import from_arrays
from querist.errors import DataError

TEXT = ("id", "path", "label", "split")


@register("table")
def table(
    path: str,
    features: str | None = None,
    prefix: str | None = None,
    classes: tuple[str, ...] | None = None,
    test_share: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """A CSV or Parquet manifest with the columns id, path, label and split, and features of the items.

    Every column is optional and further ones are ignored. ``id``: a distinct name per item that never changes; without
    it the text of ``path`` is taken, without that ``row/0``, ``row/1``, ... ``path``: the item's file, relative to the
    manifest; kept for reports. ``label``: class names, or class numbers if it holds only integers that are no declared
    names; empty means not labelled, never class 0. ``split``: ``pool`` (or ``train``), ``test``, ``validation`` (or
    ``val``), ``left_out``.

    Args:
        path: the manifest, ``.csv`` or ``.parquet``.
        features: an .npy file whose row i belongs to line i of the manifest (header not counted).
        prefix: features are in the manifest instead, in the columns whose names begin so, in the order of the file;
            they become float32.
        classes: class names in order; default the names that occur, sorted.
        test_share: share of the labelled pool to draw as test split, if there is no column ``split``.
        split_seed: seed of that draw.

    Raises:
        DataError: files that are missing, damaged, or of different lengths; repeated ids; unknown splits or labels;
            features that are not finite (names the rows).
    """
    source = Path(path)
    if (features is None) == (prefix is None):
        raise DataError(
            f"{source}: expected either features='file.npy', aligned by row, or prefix='x' for feature columns of the "
            f"manifest, got {'neither' if features is None else 'both'}."
        )
    columns = _read(source, prefix)
    refuse_near_misses(columns.names, [name for name in TEXT if name not in columns.names], str(source))
    x = columns.numbers
    if features is not None:
        x = read_npy(Path(features))
        require_equal_lengths(x, Path(features), columns.numbers, source)
    elif not x.shape[1]:
        raise DataError(f"{source}: no column begins with {prefix!r}. Columns: {', '.join(columns.names)}.")
    text = columns.text
    n = len(columns.numbers)
    dataset = from_arrays(
        source.stem, x, as_labels(text["label"], classes) if "label" in text else None, split=text.get("split"),
        keys=item_keys(text.get("id", text.get("path")), n, "row", str(source)), classes=classes,
        test_share=test_share, split_seed=split_seed, where=str(source),
    )  # fmt: skip
    if "path" not in text:
        return dataset
    return replace(dataset, paths=tuple(str(source.parent / item) if item else "" for item in text["path"]))


def _read(source: Path, prefix: str | None) -> Columns:
    def is_number(name: str) -> bool:
        return prefix is not None and name.startswith(prefix)

    if source.suffix.lower() == ".csv":
        return read_csv(source, TEXT, is_number)
    if source.suffix.lower() in (".parquet", ".pq"):
        return read_parquet(source, TEXT, is_number)
    raise DataError(f"{source}: expected a manifest that ends in .csv or .parquet.")
