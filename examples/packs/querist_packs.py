"""Image sets of one's own as Querist datasets: a reader, and one registered function per set.

The files lie in the folder that the environment variable ``QUERIST_PACKS`` names. Each is an .npz archive of encoded
image files: ``blob`` (their bytes, one after the other), ``off`` (where each begins and the last ends), ``mode``
(``L`` or ``RGB``), ``tile`` (height and width of a tile and tiles per row; height 0 if a file is one item), ``label``,
``split`` (0 train, 1 test, 2 validation, 3 left out) and ``classes``.
"""

import io
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from querist.arrays import Ids
from querist.data.dataset import Dataset, register
from querist.data.manifest import LEFT_OUT, POOL, SPLITS
from querist.data.memory import from_arrays
from querist.errors import DataError
from querist.seeds import Seed

FOLDER = "QUERIST_PACKS"


@register("mnist_pack", cite="LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998")
def mnist(pool: int | None = None) -> Dataset:
    """Handwritten digits, 28 x 28 grey, official split: 60,000 pool and 10,000 test items, 10 classes."""
    return read_pack("mnist_pack", "mnist.npz", pool)


@register("fashion_mnist_pack", cite="Xiao, Rasul & Vollgraf, arXiv 1708.07747, 2017")
def fashion_mnist(pool: int | None = None) -> Dataset:
    """Articles of clothing, 28 x 28 grey, official split: 60,000 pool and 10,000 test items, 10 classes. MIT."""
    return read_pack("fashion_mnist_pack", "fashion_mnist.npz", pool)


@register("cifar10_jpeg", cite="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009")
def cifar10_jpeg(pool: int | None = None) -> Dataset:
    """CIFAR-10 compressed as JPEG, 32 x 32 colour: 50,000 pool and 10,000 test items, 10 classes.

    Pool and test were compressed alike. Do not mix them with the original pixels.
    """
    return read_pack("cifar10_jpeg", "cifar10_jpeg_q75_60k.npz", pool)


@register("brain_tumor_mri")
def brain_tumor_mri(pool: int | None = None) -> Dataset:
    """Slices of brain MRI, 96 x 96 grey, 4 classes: 4,732 pool, 1,281 test; near-copies of test images left out."""
    return read_pack("brain_tumor_mri", "brain_tumor_mri96.npz", pool)


@register("magnetic_tile", cite="Huang, Qiu & Yuan, The Visual Computer 2020")
def magnetic_tile(pool: int | None = None) -> Dataset:
    """Defects of magnetic tiles, 128 x 128 grey, 6 classes of 952 down to 32: 1,008 pool and 336 test items."""
    return read_pack("magnetic_tile", "magnetic_tile128.npz", pool)


@register("uc_merced", cite="Yang & Newsam, ACM SIGSPATIAL GIS 2010")
def uc_merced(pool: int | None = None) -> Dataset:
    """Aerial scenes, 64 x 64 colour, 21 classes: 1,680 pool and 420 test items."""
    return read_pack("uc_merced", "uc_merced64.npz", pool)


def read_pack(name: str, filename: str, pool: int | None = None) -> Dataset:
    """Return one pack as a dataset of uint8 images ``(N, h, w)`` or ``(N, h, w, 3)``.

    Args:
        name: of the dataset; item i has the key ``{name}/{i}``.
        filename: in the folder of `FOLDER`.
        pool: size of a random part of the train split that becomes the pool, for quick studies; the rest is left out.
            A larger part contains the smaller one. None takes all of it.

    Raises:
        DataError: the folder is not named or lacks the file, or the pool is larger than the train split.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        raise DataError(f"dataset {name!r}: set the environment variable {FOLDER} to the folder that holds {filename}.")
    path = Path(folder) / filename
    if not path.is_file():
        raise DataError(f"dataset {name!r}: expected the file {path}; {FOLDER} is {folder!r}.")
    with np.load(path, allow_pickle=False) as archive:
        images, labels = decode(archive), archive["label"].astype(np.int64)
        # The pack numbers its splits in the order of SPLITS: train is the pool.
        split, classes = archive["split"].astype(np.int8), archive["classes"].tolist()
    if pool is not None:
        split = _smaller_pool(name, split, pool)
    return from_arrays(name, images, labels, split=split, classes=classes, where=str(path))


def decode(archive: np.lib.npyio.NpzFile) -> npt.NDArray[np.uint8]:
    """Return the images of a pack, ``(N, h, w)`` if they are grey, otherwise ``(N, h, w, 3)``."""
    mode, blob, ends = str(archive["mode"]), archive["blob"].tobytes(), archive["off"].tolist()
    height, width, per_row = map(int, archive["tile"])
    count = len(archive["label"])
    images: npt.NDArray[np.uint8] | None = None
    done = 0
    for start, end in pairwise(ends):
        with Image.open(io.BytesIO(blob[start:end])) as file:
            tiles = np.asarray(file.convert(mode))[np.newaxis]
        if height:
            # A mosaic: cut into rows of tiles, then rows into tiles, in reading order.
            rows = tiles.reshape(-1, height, per_row, width, *tiles.shape[3:])
            tiles = rows.swapaxes(1, 2).reshape(-1, height, width, *tiles.shape[3:])
        if images is None:
            images = np.empty((count, *tiles.shape[1:]), dtype=np.uint8)
        tiles = tiles[: count - done]  # the last mosaic may end in blank tiles
        images[done : done + len(tiles)] = tiles
        done += len(tiles)
    if images is None or done != count:
        raise DataError(f"expected {count} images in the pack, got {done}.")
    return images


def _smaller_pool(name: str, split: npt.NDArray[np.int8], size: int) -> npt.NDArray[np.int8]:
    train: Ids = np.flatnonzero(split == SPLITS.index(POOL)).astype(np.int64)
    if not 1 <= size <= len(train):
        raise DataError(f"dataset {name!r}: expected a pool of 1 to {len(train)} items, got {size}.")
    order = np.argsort(Seed(0).child(name, "pool").key().hash(train))
    smaller = split.copy()
    smaller[train[order[size:]]] = SPLITS.index(LEFT_OUT)
    return smaller
