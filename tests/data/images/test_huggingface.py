"""Hugging Face datasets, written by their own library and read without it."""

import io
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from querist.data.dataset import datasets
from querist.errors import DataError

RNG = np.random.default_rng(0)


def images(n):
    return [RNG.integers(0, 256, size=(20 + i, 30, 3), dtype=np.uint8) for i in range(n)]


TRAIN, TEST = images(7), images(3)
LABELS = [0, 1, 1, 0, 2, 2, 1]


def centre(image, size):
    """The square of the middle in its own size; sizes are chosen so that nothing is scaled."""
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


@pytest.fixture
def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("datasets", reason="the independent writer is not installed")


@pytest.fixture
def saved(library, tmp_path, monkeypatch):
    """A dataset of two splits, as written by the library itself."""
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    features = library.Features({"image": library.Image(), "label": library.ClassLabel(names=["ant", "bee", "fly"])})

    def part(pictures, labels):
        rows = {"image": [Image.fromarray(p) for p in pictures], "label": labels}
        return library.Dataset.from_dict(rows, features=features)

    return library.DatasetDict({"test": part(TEST, [2, 0, 1]), "train": part(TRAIN, LABELS)})


def check(data):
    assert data.classes == ("ant", "bee", "fly")
    assert data.manifest.keys[:2] == ("train/0", "train/1")
    assert data.manifest.keys[7:] == ("test/0", "test/1", "test/2")
    assert data.pool.tolist() == list(range(7))
    assert data.test.tolist() == [7, 8, 9]
    assert data.labels.unseal().tolist() == [*LABELS, 2, 0, 1]
    assert all(np.array_equal(data.picture(i), image) for i, image in enumerate([*TRAIN, *TEST]))
    assert data.items[np.arange(10)].shape == (10, 20, 20, 3)
    assert np.array_equal(data.items[np.array([0])][0], centre(TRAIN[0], 20))


def test_a_folder_that_was_saved_to_disk(saved, tmp_path):
    saved.save_to_disk(tmp_path / "saved")
    check(datasets.build({"name": "huggingface", "path": str(tmp_path / "saved"), "size": 20}))


def test_shards_of_parquet_as_on_the_hub(saved, tmp_path):
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for shard, rows in enumerate(([0, 1, 2, 3], [4, 5, 6])):
        saved["train"].select(rows).to_parquet(tmp_path / f"hub/data/train-{shard:05}-of-00002.parquet")
    saved["test"].to_parquet(tmp_path / "hub/data/test-00000-of-00001.parquet")
    check(datasets.build({"name": "huggingface", "path": str(tmp_path / "hub"), "size": 20}))


def test_one_file_is_a_pool_of_which_a_share_is_drawn_for_tests(saved, tmp_path):
    saved["train"].to_parquet(tmp_path / "things.parquet")
    spec = {"name": "huggingface", "path": str(tmp_path / "things.parquet")}
    assert len(datasets.build(spec).pool) == 7
    drawn = datasets.build({**spec, "test_share": 0.3})
    assert (len(drawn.pool), len(drawn.test)) == (5, 2)


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, contents, labels):
    column = pa.array([None if c is None else {"bytes": c, "path": None} for c in contents])
    pq.write_table(pa.table({"photo": column, "label": labels}), path)


def test_broken_images_are_set_aside_with_their_reason(tmp_path):
    whole = encoded(TRAIN[0])
    contents = [whole, whole[:-20], b"", encoded(TRAIN[1]), b"no image at all", None]
    write(tmp_path / "train.parquet", contents, [0, 1, 0, 1, None, 0])
    data = datasets.build({"name": "huggingface", "path": str(tmp_path), "image": "photo", "classes": ("a", "b")})
    assert data.manifest.keys == ("train/0", "train/3")
    assert data.labels.unseal().tolist() == [0, 1]
    assert [entry.path for entry in data.set_aside] == ["train/1", "train/2", "train/4", "train/5"]
    reasons = [entry.reason for entry in data.set_aside]
    for reason, word in zip(reasons, ("cut short", "empty", "not an image", "no bytes"), strict=True):
        assert word in reason


@pytest.mark.parametrize("labels", [["b", "a", None], [1, 0, None]])
def test_labels_are_names_or_numbers(labels, tmp_path):
    write(tmp_path / "x.parquet", [encoded(image) for image in TRAIN[:3]], labels)
    data = datasets.build({"name": "huggingface", "path": str(tmp_path), "image": "photo", "classes": ("a", "b")})
    assert data.labels.unseal().tolist() == [1, 0, -1]


@pytest.mark.parametrize("labels", [[0.0, 1.7], [True, False], ["a", "cat"]])
def test_labels_that_are_no_classes_are_refused(labels, tmp_path):
    write(tmp_path / "x.parquet", [encoded(image) for image in TRAIN[:2]], labels)
    with pytest.raises(DataError, match=r"expected labels to be all integers|has the label 'cat'"):
        datasets.build({"name": "huggingface", "path": str(tmp_path), "image": "photo", "classes": ("a", "b")})


@pytest.mark.parametrize("column", [[{"data": b"x"}], [{"bytes": "text"}], [b"bytes"]])
def test_a_column_of_something_else_is_no_column_of_images(column, tmp_path):
    pq.write_table(pa.table({"image": column, "label": [0]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="expected a column 'image' of encoded images, got the columns image"):
        datasets.build({"name": "huggingface", "path": str(tmp_path), "classes": ("a", "b")})


def test_looking_at_images_leaves_the_filters_of_warnings_alone(tmp_path, monkeypatch):
    """Several threads look at once, and the filters belong to all of them."""
    write(tmp_path / "x.parquet", [encoded(image) for image in TRAIN[:2]], [0, 1])
    data = datasets.build({"name": "huggingface", "path": str(tmp_path), "image": "photo"})
    assert data.picture is not None
    with monkeypatch.context() as patch:
        patch.setattr("warnings.catch_warnings", lambda: pytest.fail("the filters were changed"))
        shown = data.picture(1)
    assert np.array_equal(shown, TRAIN[1])


def test_near_copies_are_left_out_of_the_pool_on_demand(tmp_path):
    smooth = np.asarray(Image.fromarray(RNG.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((80, 80)))
    brighter = np.minimum(smooth.astype(int) + 9, 255).astype(np.uint8)
    contents = [encoded(smooth), encoded(TRAIN[3]), encoded(brighter), encoded(smooth)]
    write(tmp_path / "train.parquet", contents, [0, 1, 0, 0])
    spec = {"name": "huggingface", "path": str(tmp_path), "image": "photo"}
    assert datasets.build(spec).pool.tolist() == [0, 1, 2, 3]
    data = datasets.build({**spec, "near_copies": "leave_out"})
    assert data.pool.tolist() == [0, 1]
    assert data.set_aside == (("train/2", "near copy of train/0"), ("train/3", "near copy of train/0"))


def test_the_fingerprint_is_that_of_the_bytes(tmp_path):
    prints = []
    for name, first in (("one", TRAIN[0]), ("two", TRAIN[0]), ("three", TRAIN[2])):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "x.parquet", [encoded(first), encoded(TRAIN[1])], [0, 1])
        prints.append(
            datasets.build({"name": "huggingface", "path": str(tmp_path / name), "image": "photo"}).items.fingerprint
        )
    assert prints[0] == prints[1] != prints[2]


def test_what_cannot_be_read_says_what_was_expected(tmp_path):
    spec = {"name": "huggingface", "path": str(tmp_path)}
    with pytest.raises(DataError, match=r"found no \.arrow or \.parquet file"):
        datasets.build(spec)
    write(tmp_path / "x.parquet", [encoded(TRAIN[0])], [0])
    with pytest.raises(DataError, match="expected a column 'image' of encoded images"):
        datasets.build(spec)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read"):
        datasets.build(spec)
