"""The dataset ``image_list``: manifests of three formats, what they may say, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from querist.data.dataset import datasets
from querist.data.images.folder import folder
from querist.data.images.image_list import image_list
from querist.data.manifest import LEFT_OUT, POOL, TEST, VALIDATION
from querist.errors import DataError, UndeclaredClassesError

ROWS = [
    {"id": "c", "path": "photos/cat/1.png", "label": "cat", "split": "train"},
    {"id": "a", "path": "photos/cat/2.png", "label": "", "split": "pool"},
    {"id": "b", "path": "photos/dog/7.png", "label": "dog", "split": "test"},
    {"id": "e", "path": "./photos/dog/8.png", "label": "dog", "split": "val"},
    {"id": "d", "path": "photos/dog/9.png", "label": "cat", "split": "left_out"},
]


@pytest.fixture
def write(photos):
    """Return a function that writes a manifest beside the folder of pictures."""

    def write(rows, suffix=".csv", columns=("id", "path", "label", "split")):
        path = photos.parent / f"list{suffix}"
        rows = [{name: row[name] for name in columns} for row in rows]
        if suffix == ".csv":
            lines = [",".join(columns), *(",".join(row.values()) for row in rows)]
            path.write_text("\n".join(lines), encoding="utf-8")
        elif suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            sparse = [{name: value for name, value in row.items() if value} for row in rows]
            path.write_text("\n\n".join(map(json.dumps, sparse)) + "\n", encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_every_format_says_the_same(write, photos, suffix):
    data = datasets.build({"name": "image_list", "path": write(ROWS, suffix)})
    assert (data.name, data.classes, data.manifest.keys) == ("list", ("cat", "dog"), tuple("abcde"))
    assert data.labels.unseal().tolist() == [-1, 1, 0, 0, 1]
    assert [data.manifest.ids(split).tolist() for split in (POOL, TEST, VALIDATION, LEFT_OUT)] == [
        [0, 2],
        [1],
        [4],
        [3],
    ]
    assert [Path(path).name for path in data.paths] == ["2.png", "7.png", "1.png", "9.png", "8.png"]
    assert data.items[data.pool].shape == (2, 64, 64, 3)
    assert data.picture(3).shape == (30, 40, 3)


def test_without_ids_it_is_the_folder(write, photos):
    rows = [
        {"path": f"photos/{kind}/{number}.png", "label": kind}
        for kind, numbers in (("dog", range(6, 12)), ("cat", range(6)))
        for number in numbers
    ]
    data = image_list(write(rows, columns=("path", "label")))
    assert data.fingerprint == folder(str(photos)).fingerprint


def test_class_numbers_and_declared_classes(write):
    rows = [{"path": "photos/cat/1.png", "label": "1"}, {"path": "photos/cat/2.png", "label": "0"}]
    data = image_list(write(rows, columns=("path", "label")), classes=("ant", "bee"))
    labels = dict(zip([Path(path).name for path in data.paths], data.labels.unseal().tolist(), strict=True))
    assert labels == {"1.png": 1, "2.png": 0}


def test_without_labels_the_classes_must_be_declared_before_anything_is_read(write, photos):
    path = write(ROWS, columns=("path",))
    with pytest.raises(UndeclaredClassesError):
        image_list(path)
    assert not (photos.parent / "store").exists()
    assert len(image_list(path, classes=("a", "b")).pool) == 5


def test_what_is_missing_or_broken_is_set_aside(write, photos):
    (photos / "cat" / "bad.jpg").write_bytes(b"")
    rows = [
        *ROWS,
        {"id": "x", "path": "photos/none.png", "label": "cat", "split": "pool"},
        {"id": "y", "path": "photos/cat", "label": "cat", "split": "pool"},
        {"id": "z", "path": "photos/cat/bad.jpg", "label": "cat", "split": "pool"},
    ]
    data = image_list(write(rows))
    assert len(data.manifest) == 5
    assert [(Path(a.path).name, a.reason) for a in data.set_aside] == [
        ("cat", "a folder, not an image"), ("bad.jpg", "empty: the file has 0 bytes"),
        ("none.png", "missing: there is no such file"),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"no image could be read. .*missing"):
        image_list(write([rows[5]]), classes=("cat", "dog"))


def test_copies_are_one_item_and_a_known_label_counts(write, photos):
    shutil.copy(photos / "cat" / "2.png", photos / "cat" / "other.png")
    extra = {"id": "w", "path": "photos/cat/other.png", "label": "dog", "split": "pool"}
    data = image_list(write([*ROWS, extra]))
    item = data.manifest.keys.index("a")
    assert data.labels.unseal()[item] == 1
    assert [a.reason for a in data.set_aside] == ["same content as photos/cat/2.png"]
    conflict = {"id": "v", "path": "photos/../photos/dog/7.png", "label": "cat", "split": "pool"}
    data = image_list(write([*ROWS, conflict]))
    assert data.manifest.ids(TEST).tolist() == []
    assert len(data.manifest.ids(LEFT_OUT)) == 2
    assert any("labelled differently" in a.reason for a in data.set_aside)


def test_absolute_paths(write, photos):
    rows = [{**row, "path": str(photos.parent / row["path"])} for row in ROWS]
    assert image_list(write(rows)).fingerprint == image_list(write(ROWS)).fingerprint


def test_near_copies_and_a_drawn_share(write, photos, draw):
    bright = np.clip(np.asarray(draw(1)) * 1.1, 0, 255).astype(np.uint8)
    Image.fromarray(bright).save(photos / "cat" / "bright.png")
    rows = [{"path": f"photos/cat/{name}.png", "label": "cd"[i % 2]} for i, name in enumerate((0, 1, 2, 3, "bright"))]
    path = write(rows, columns=("path", "label"))
    assert len(image_list(path, near_copies="leave_out").pool) == 4
    assert len(image_list(path, test_share=0.4).test) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\nphotos/cat/1.png,cat\nphotos/cat/1.png,dog\n", "rows 0 and 1 have the same path"),
        ("id,path\n1,a.png\n1,b.png\n", "rows 0 and 1 have the same id '1'"),
        ("path,label\n,cat\n", "row 0 has no path"),
        ("id,label\n1,cat\n", "expected a column 'path', got id, label"),
        ("path,lable\nx.png,cat\n", "'lable' is not known here. Did you mean 'label'"),
        ("path,split\nx.png,trian\n", "unknown split 'trian'"),
    ],
)
def test_mistakes_of_a_manifest(photos, text, message):
    path = photos.parent / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        image_list(str(path), classes=("cat", "dog"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.png"}\n{"path": "b.png"', "line 2: cannot be read as JSON"),
        ('["a.png"]\n', "line 1: expected an object"),
        ('{"path": 1.5}\n', "line 1: expected text or an integer in 'path', got 1.5"),
        ('{"path": "a.png", "label": true}\n', "expected text or an integer in 'label', got True"),
        ("", "expected a column 'path', got nothing"),
    ],
)
def test_mistakes_of_a_jsonl_manifest(photos, text, message):
    path = photos.parent / "list.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        image_list(str(path), classes=("cat", "dog"))


def test_other_files(photos):
    with pytest.raises(DataError, match=r"ends in \.csv, \.parquet or \.jsonl"):
        image_list(str(photos))
    for suffix in (".csv", ".jsonl", ".parquet"):
        with pytest.raises(DataError, match="there is no such file"):
            image_list(str(photos / f"no{suffix}"))


def test_jsonl_lines_end_at_line_feeds_alone(photos, draw):
    name = "one\u2028two"
    draw(70).save(photos / "cat" / f"{name}.png")
    path = photos.parent / "list.jsonl"
    path.write_text(json.dumps({"path": f"photos/cat/{name}.png", "id": 7}, ensure_ascii=False), encoding="utf-8")
    assert image_list(str(path), classes=("a", "b")).manifest.keys == ("7",)
