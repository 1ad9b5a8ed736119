"""The dataset ``table``: CSV and Parquet manifests, and the strictness of their columns."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from querist.data.columnfiles import read_csv
from querist.data.dataset import datasets
from querist.data.table import table
from querist.errors import DataError

X = np.random.default_rng(1).normal(size=(6, 3))
IDS = [f"item-{i}" for i in range(6)]
LABELS = ["cat", "dog", "", "cat", "dog", "cat"]
SPLITS = ["pool", "train", "pool", "val", "test", "test"]
PATHS = [f"images/{i}.png" for i in range(6)]


@pytest.fixture
def csv(tmp_path):
    def write(text, name="items.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture
def whole(tmp_path):
    """The same manifest as CSV and as Parquet, with feature columns."""
    header = ["id", "path", "label", "split", "f0", "f1", "f2", "note"]
    rows = [
        [i, p, y, s, *map(repr, x.tolist()), "a,\"b\""]
        for i, p, y, s, x in zip(IDS, PATHS, LABELS, SPLITS, X, strict=True)
    ]  # fmt: skip
    quoted = [",".join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in [header, *rows]]
    (tmp_path / "items.csv").write_text("\r\n".join(quoted) + "\r\n", encoding="utf-8-sig")
    columns = {"id": IDS, "path": PATHS, "label": [y or None for y in LABELS], "split": SPLITS}
    columns |= {f"f{j}": X[:, j] for j in range(3)}
    pq.write_table(pa.table(columns), tmp_path / "items.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["items.csv", "items.parquet"])
def test_reads_every_column(whole, name):
    data = table(str(whole / name), prefix="f")
    assert data.manifest.keys == tuple(IDS)
    assert data.classes == ("cat", "dog")
    assert data.labels.unseal().tolist() == [0, 1, -1, 0, 1, 0]
    assert data.manifest.split.tolist() == [0, 0, 0, 2, 1, 1]
    assert data.paths == tuple(str(whole / p) for p in PATHS)
    items = data.items[np.arange(6)]
    assert items.dtype == np.float32
    assert (items == X.astype(np.float32)).all()


def test_both_formats_and_any_folder_have_one_fingerprint(whole, tmp_path):
    first = table(str(whole / "items.csv"), prefix="f").fingerprint
    assert table(str(whole / "items.parquet"), prefix="f").fingerprint == first
    (tmp_path / "elsewhere").mkdir()
    (whole / "items.csv").rename(tmp_path / "elsewhere" / "moved.csv")
    assert table(str(tmp_path / "elsewhere" / "moved.csv"), prefix="f").fingerprint == first


def test_a_feature_file_aligned_by_row(whole):
    np.save(whole / "z.npy", X[:, :2])
    data = table(str(whole / "items.csv"), features=str(whole / "z.npy"))
    assert (data.items[np.array([4])] == X[4, :2]).all()


def test_from_a_study_file(whole):
    spec = {"name": "table", "path": str(whole / "items.csv"), "prefix": "f", "classes": ["dog", "cat"]}
    assert datasets.build(spec).labels.unseal().tolist() == [1, 0, -1, 1, 0, 1]


class TestKeys:
    def test_without_ids_the_path_is_the_key(self, csv):
        data = table(csv("path,label,x\na.png,0,1\nb.png,1,2\n"), prefix="x")
        assert data.manifest.keys == ("a.png", "b.png")

    def test_without_both_it_is_the_row(self, csv):
        assert table(csv("label,x\n0,1\n1,2\n"), prefix="x").manifest.keys == ("row/0", "row/1")

    def test_repeated_ids_are_refused(self, csv):
        with pytest.raises(DataError, match="distinct ids, but a occur more than once"):
            table(csv("id,label,x\na,0,1\nb,1,2\na,0,3\n"), prefix="x")

    def test_an_id_that_looks_like_missing_is_an_id(self, csv):
        assert table(csv("id,label,x\nNA,0,1\nnull,1,2\n"), prefix="x").manifest.keys == ("NA", "null")


class TestLabels:
    def test_an_empty_label_is_unlabelled_and_never_class_0(self, csv):
        data = table(csv("label,x\n1,1\n,2\n0,3\n"), prefix="x")
        assert data.labels.unseal().tolist() == [1, -1, 0]

    def test_integers_are_numbers_of_declared_names(self, csv):
        data = table(csv("label,x\n1,1\n2,2\n0,3\n"), prefix="x", classes=("a", "b", "c"))
        assert data.labels.unseal().tolist() == [1, 2, 0]

    def test_unless_they_are_declared_names_themselves(self, csv):
        data = table(csv("label,x\n1,1\n2,2\n3,3\n"), prefix="x", classes=("3", "2", "1"))
        assert data.labels.unseal().tolist() == [2, 1, 0]

    def test_numbers_that_do_not_begin_at_0_must_be_declared(self, csv):
        with pytest.raises(DataError, match=r"no item has class 0\. Declare `classes`"):
            table(csv("label,x\n1,1\n2,2\n3,3\n"), prefix="x")

    def test_integers_in_parquet(self, tmp_path):
        pq.write_table(pa.table({"label": [1, None, 0], "x": [1.0, 2.0, 3.0]}), tmp_path / "t.parquet")
        assert table(str(tmp_path / "t.parquet"), prefix="x").labels.unseal().tolist() == [1, -1, 0]

    def test_floats_in_parquet_are_refused(self, tmp_path):
        pq.write_table(pa.table({"label": [1.0, None, 0.0], "x": [1.0, 2.0, 3.0]}), tmp_path / "t.parquet")
        with pytest.raises(DataError, match=r"got 1\.0 in row 0.*Int64"):
            table(str(tmp_path / "t.parquet"), prefix="x")

    def test_an_undeclared_name(self, csv):
        with pytest.raises(DataError, match=r"row 1 has the label 'dgo'\. Did you mean 'dog'"):
            table(csv("label,x\ncat,1\ndgo,2\n"), prefix="x", classes=("cat", "dog"))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected a header"),
            ("label,x,x\na,1,2\n", "columns x occur more than once"),
            ("label,x\na,1\nb,2,3\n", "line 3: expected 2 fields, as the header has, got 3"),
            ("label,x\na,1\nb\n", "line 3: expected 2 fields, as the header has, got 1"),
            ("label,x1,x2\na,1,2\nb,3,four\n", "line 3: expected a number in column 'x2', got 'four'"),
            ("label,x1,x2\na,1,2\nb,,4\n", "line 3: expected a number in column 'x1', got ''"),
            ("label,x\na,1\nb,nan\nb,inf\n", "2 of 3 rows hold NaN or infinite values, ids 1, 2"),
            ("label,x\na,1\nb,1e300\n", "1 of 2 rows hold NaN or infinite values, ids 1"),
            ("label,split,x\na,pool,1\nb,training,2\n", "row 1 has the unknown split 'training'. Known: pool, test"),
            ("label,split,x\na,pool,1\nb,,2\n", "row 1 has the unknown split ''"),
            ("labels,x\na,1\nb,2\n", "'labels' is not known here. Did you mean 'label'"),
            ("Label,x\na,1\nb,2\n", "Did you mean 'label'"),
            ("label,y\na,1\nb,2\n", "no column begins with 'x'. Columns: label, y"),
            ("label,x\na,1\na,2\n", "at least two distinct declared classes"),
            ('label,x\n"a,1\nb,2\n', "cannot be read as UTF-8 CSV"),
            ("label,x\n", r"got shape \(0, "),
        ],
    )
    def test_csv(self, csv, text, message):
        with pytest.raises(DataError, match=message):
            table(csv(text), prefix="x")

    def test_neither_or_both_kinds_of_features(self, csv):
        path = csv("label,x\na,1\nb,2\n")
        with pytest.raises(DataError, match="got neither"):
            table(path)
        with pytest.raises(DataError, match="got both"):
            table(path, features="z.npy", prefix="x")

    def test_a_feature_file_of_another_length_names_both(self, whole):
        np.save(whole / "z.npy", X[:5])
        files = f"got 5 rows in {re.escape(str(whole / 'z.npy'))} and 6 in {re.escape(str(whole / 'items.csv'))}"
        with pytest.raises(DataError, match=files):
            table(str(whole / "items.csv"), features=str(whole / "z.npy"))

    def test_files_that_cannot_be_read(self, tmp_path, csv):
        with pytest.raises(DataError, match="there is no such file"):
            table(str(tmp_path / "none.csv"), prefix="x")
        with pytest.raises(DataError, match="there is no such file"):
            table(str(tmp_path / "none.parquet"), prefix="x")
        with pytest.raises(DataError, match=r"ends in \.csv or \.parquet"):
            table(str(tmp_path / "items.xlsx"), prefix="x")
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            table(csv("label,x\na,1\n", "text.parquet"), prefix="x")
        (tmp_path / "latin.csv").write_bytes("label,x\né,1\n".encode("latin-1"))
        with pytest.raises(DataError, match="cannot be read as UTF-8"):
            table(str(tmp_path / "latin.csv"), prefix="x")

    def test_text_in_a_feature_column_of_parquet(self, tmp_path):
        pq.write_table(pa.table({"label": ["a", "b"], "x": ["1", "2"]}), tmp_path / "t.parquet")
        with pytest.raises(DataError, match="expected numbers in column 'x', got string"):
            table(str(tmp_path / "t.parquet"), prefix="x")

    def test_a_gap_in_a_feature_column_of_parquet(self, tmp_path):
        pq.write_table(pa.table({"label": ["a", "b"], "x": [1.0, None]}), tmp_path / "t.parquet")
        with pytest.raises(DataError, match="ids 1"):
            table(str(tmp_path / "t.parquet"), prefix="x")


def test_numbers_are_read_to_the_nearest_float32(csv):
    values = np.random.default_rng(2).normal(size=50)
    path = csv("label,x\n" + "".join(f"a,{v!r}\n" for v in values.tolist()))
    read = read_csv(Path(path), ("label",), "x".__eq__)
    assert (read.numbers[:, 0] == values.astype(np.float32)).all()
