"""The classic image benchmarks as torchvision reads them: MNIST, Fashion-MNIST, CIFAR-10 and -100, SVHN."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Labels
from querist.data.dataset import Dataset, register
from querist.data.manifest import POOL, SPLITS, TEST
from querist.data.memory import from_arrays
from querist.errors import DataError
from querist.extras import require

ROOT = "QUERIST_DATA"
"""The environment variable that names the folder of downloaded datasets."""
IDX = "the four .gz files, unpacked"


@register("mnist", cite="LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998")
def mnist(root: str | None = None, download: bool = False) -> Dataset:
    """MNIST: handwritten digits, 28 x 28 grey, 60,000 pool and 10,000 test items, 10 classes, official split and order.

    Digits must not be flipped when they are augmented.

    Args:
        root: folder that holds ``MNIST/raw``; default the environment variable QUERIST_DATA, then ``data``.
        download: fetch 11 MB into `root` if they are not there.

    Raises:
        DataError: the files are missing or damaged; says what to fetch and where to put it.
        MissingExtraError: torchvision is not installed.
    """
    return _read("mnist", "MNIST", root, download, f"MNIST/raw/ with {IDX}")


@register("fashion_mnist", cite="Xiao, Rasul & Vollgraf, arXiv 1708.07747, 2017")
def fashion_mnist(root: str | None = None, download: bool = False) -> Dataset:
    """Fashion-MNIST: clothing, 28 x 28 grey, 60,000 pool and 10,000 test items, 10 classes, official split and order.

    Args:
        root: folder that holds ``FashionMNIST/raw``; default the environment variable QUERIST_DATA, then ``data``.
        download: fetch 31 MB into `root` if they are not there.

    Raises:
        DataError: the files are missing or damaged; says what to fetch and where to put it.
        MissingExtraError: torchvision is not installed.
    """
    return _read("fashion_mnist", "FashionMNIST", root, download, f"FashionMNIST/raw/ with {IDX}")


@register("cifar10", cite="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009")
def cifar10(root: str | None = None, download: bool = False) -> Dataset:
    """CIFAR-10: 32 x 32 colour, 50,000 pool and 10,000 test items, 10 classes, official split and order.

    Args:
        root: folder that holds ``cifar-10-batches-py``; default the environment variable QUERIST_DATA, then ``data``.
        download: fetch 163 MB into `root` if they are not there.

    Raises:
        DataError: the files are missing or damaged; says what to fetch and where to put it.
        MissingExtraError: torchvision is not installed.
    """
    return _read("cifar10", "CIFAR10", root, download, "cifar-10-batches-py/ (unpack cifar-10-python.tar.gz)")


@register("cifar100", cite="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009")
def cifar100(root: str | None = None, download: bool = False) -> Dataset:
    """CIFAR-100: 32 x 32 colour, 50,000 pool and 10,000 test items, 100 classes, official split and order.

    Args:
        root: folder that holds ``cifar-100-python``; default the environment variable QUERIST_DATA, then ``data``.
        download: fetch 161 MB into `root` if they are not there.

    Raises:
        DataError: the files are missing or damaged; says what to fetch and where to put it.
        MissingExtraError: torchvision is not installed.
    """
    return _read("cifar100", "CIFAR100", root, download, "cifar-100-python/ (unpack cifar-100-python.tar.gz)")


@register("svhn", cite="Netzer et al., NIPS Workshop on Deep Learning and Unsupervised Feature Learning 2011")
def svhn(root: str | None = None, download: bool = False) -> Dataset:
    """Street View House Numbers, cropped: 32 x 32 colour, 73,257 pool and 26,032 test items, 10 classes, no extra set.

    Digits must not be flipped when they are augmented. The digit 0, which the files call 10, is class 0.

    Args:
        root: folder that holds the two files; default the environment variable QUERIST_DATA, then ``data``.
        download: fetch 236 MB into `root` if they are not there.

    Raises:
        DataError: the files are missing or damaged; says what to fetch and where to put it.
        MissingExtraError: torchvision is not installed.
    """
    return _read("svhn", "SVHN", root, download, "train_32x32.mat and test_32x32.mat")


def _read(name: str, reader: str, root: str | None, download: bool, files: str) -> Dataset:
    require(f"dataset {name}", "deep", "torch", "torchvision")
    import torchvision.datasets

    folder = Path(root or os.environ.get(ROOT, "data"))
    kind = getattr(torchvision.datasets, reader)
    try:
        parts = [_part(kind, folder, train, download) for train in (True, False)]
    except (RuntimeError, OSError, ValueError, EOFError, LookupError, AssertionError) as error:  # as it checks headers
        problem = str(error) or "damaged"
        raise DataError(
            f"dataset {name!r}: expected {files} in the folder {folder}, each as published ({problem}). Fetch them "
            f"from {_source(kind)}, or let it be done: {name}(download=True) on the command line, {{ name = "
            f'"{name}", download = true }} in a study. Another folder is named by --data-root, by the environment '
            f"variable {ROOT}, or by the setting root."
        ) from error
    (x_pool, y_pool, classes), (x_test, y_test, _) = parts
    return from_arrays(
        name, np.concatenate([x_pool, x_test]), np.concatenate([y_pool, y_test]),
        split=np.repeat([SPLITS.index(POOL), SPLITS.index(TEST)], [len(x_pool), len(x_test)]),
        keys=[f"{name}/{split}/{i}" for split, x in (("train", x_pool), ("test", x_test)) for i in range(len(x))],
        classes=classes, where=str(folder),
    )  # fmt: skip


def _part(
    kind: Callable[..., Any], folder: Path, train: bool, download: bool
) -> tuple[npt.NDArray[np.uint8], Labels, tuple[str, ...]]:
    """Return images ``(n, h, w)`` or ``(n, h, w, 3)``, labels and class names of one official split."""
    if kind.__name__ == "SVHN":  # its splits have names, its images the channels first, its labels another attribute
        part = kind(folder, split="train" if train else "test", download=download)
        images, labels, classes = part.data.transpose(0, 2, 3, 1), part.labels, tuple("0123456789")
    else:
        part = kind(folder, train=train, download=download)
        images, labels, classes = np.asarray(part.data), part.targets, tuple(part.classes)
    return np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64), classes


def _source(kind: Any) -> str:
    """Return where the files of a torchvision dataset are published."""
    if hasattr(kind, "mirrors"):
        return f"{kind.mirrors[0]} ({', '.join(name for name, _ in kind.resources)})"
    if hasattr(kind, "split_list"):
        return " and ".join(kind.split_list[split][0] for split in ("train", "test"))
    return kind.url
