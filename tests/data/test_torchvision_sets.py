"""The classic benchmarks from files in the published formats, written here by other code than what reads them."""

import gzip
import pickle  # the published format of CIFAR
import struct
from hashlib import md5

import numpy as np
import pytest
from scipy.io import savemat

from querist.data.dataset import datasets
from querist.errors import DataError

pytest.importorskip("torchvision", reason="needs the extra deep")
pytestmark = [pytest.mark.deep, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

RNG = np.random.default_rng(0)
CLASSES = {"cifar10": 10, "cifar100": 100, "svhn": 10, "mnist": 10, "fashion_mnist": 10}


def image_bytes(n, *shape):
    return RNG.integers(0, 256, size=(n, *shape), dtype=np.uint8)


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5(content).hexdigest()


def cifar(root, monkeypatch, kind, train, test, key, names):
    """Rows of 3,072 bytes: the red plane, the green, the blue."""
    import torchvision.datasets

    reader = getattr(torchvision.datasets, kind)
    folder, rows, labels, lists = root / reader.base_folder, [], [], []
    for file in (*train, *test):
        planes, y = image_bytes(6, 3072), RNG.integers(0, len(names), 6)
        content = {"data": planes, key: y.tolist()}
        lists.append([file, written(folder / file, pickle.dumps(content))])
        rows.append(planes.reshape(6, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(y)
    meta = {reader.meta["key"]: names}
    monkeypatch.setattr(reader, "train_list", lists[: len(train)])
    monkeypatch.setattr(reader, "test_list", lists[len(train) :])
    checksum = written(folder / reader.meta["filename"], pickle.dumps(meta))
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": checksum})
    return np.concatenate(rows), np.concatenate(labels), 6 * len(train)


def idx(root, folder):
    images, labels = [], []
    for split, n in (("train", 9), ("t10k", 4)):
        x, y = image_bytes(n, 28, 28), RNG.integers(0, 10, n).astype(np.uint8)
        raw = root / folder / "raw"
        written(raw / f"{split}-images-idx3-ubyte", struct.pack(">4i", 2051, n, 28, 28) + x.tobytes())
        written(raw / f"{split}-labels-idx1-ubyte", struct.pack(">2i", 2049, n) + y.tobytes())
        written(raw / f"{split}-images-idx3-ubyte.gz", gzip.compress(b""))
        images.append(x)
        labels.append(y)
    return np.concatenate(images), np.concatenate(labels), 9


def svhn(root, monkeypatch):
    import torchvision.datasets

    images, labels, lists = [], [], {}
    for split, n in (("train", 7), ("test", 3)):
        x, y = image_bytes(n, 32, 32, 3), np.append(10, RNG.integers(1, 11, n - 1))
        path = root / f"{split}_32x32.mat"
        savemat(path, {"X": x.transpose(1, 2, 3, 0), "y": y[:, None]})
        lists[split] = ["", path.name, md5(path.read_bytes()).hexdigest()]
        images.append(x)
        labels.append(y % 10)
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", lists)
    return np.concatenate(images), np.concatenate(labels), 7


def publish(name, root, monkeypatch):
    """Write a small set in its published format; return images, labels and the size of the pool."""
    match name:
        case "cifar10":
            names = [f"class {i}" for i in range(10)]
            return cifar(
                root, monkeypatch, "CIFAR10", ["data_batch_1", "data_batch_2"], ["test_batch"], "labels", names
            )
        case "cifar100":
            names = [f"class {i}" for i in range(100)]
            return cifar(root, monkeypatch, "CIFAR100", ["train"], ["test"], "fine_labels", names)
        case "svhn":
            return svhn(root, monkeypatch)
        case _:
            return idx(root, {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name])


@pytest.mark.parametrize("name", CLASSES)
def test_images_labels_and_split_are_the_published_ones(name, tmp_path, monkeypatch):
    images, labels, pool = publish(name, tmp_path, monkeypatch)
    data = datasets.build({"name": name, "root": str(tmp_path)})
    assert data.c == CLASSES[name]
    assert data.pool.tolist() == list(range(pool))
    assert data.test.tolist() == list(range(pool, len(labels)))
    assert np.array_equal(data.items[np.arange(len(labels))], images)
    assert np.array_equal(data.labels.unseal(), labels)
    assert data.manifest.keys[0] == f"{name}/train/0"
    assert data.manifest.keys[pool] == f"{name}/test/0"
    assert data.picture is not None
    assert np.array_equal(data.picture(2), images[2])


@pytest.mark.parametrize("name", CLASSES)
def test_missing_files_say_what_to_fetch_and_where_to_put_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("QUERIST_DATA", str(tmp_path / "empty"))
    with pytest.raises(
        DataError, match=r"(?s)expected .* in the folder .*empty.* Fetch them from http.*download = true"
    ):
        datasets.build(name)
    assert not (tmp_path / "empty").exists()  # nothing is downloaded, or made, unasked


@pytest.mark.parametrize(
    ("name", "file", "damage"),
    [
        ("cifar10", "cifar-10-batches-py/test_batch", lambda content: content[:-1]),
        ("mnist", "MNIST/raw/t10k-images-idx3-ubyte", lambda content: content[:-1]),
        ("mnist", "MNIST/raw/train-images-idx3-ubyte", lambda content: b"<html>404</html>"),
        ("mnist", "MNIST/raw/train-labels-idx1-ubyte", lambda content: struct.pack(">2i", 2561, 9) + content[8:]),
        ("fashion_mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte", lambda content: b""),
    ],
)
def test_a_damaged_file_is_refused(name, file, damage, tmp_path, monkeypatch):
    publish(name, tmp_path, monkeypatch)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"each as published \(.+\)\. Fetch .* {name}\(download=True\) on the command"):
        datasets.build({"name": name, "root": str(tmp_path)})
