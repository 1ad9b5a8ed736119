"""Datasets from map-style datasets as torch defines them: ``len(d)`` and ``d[i]``. Torch itself is not needed."""

from collections.abc import Sequence
from operator import index
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from querist.data.columns import UNLABELLED
from querist.data.dataset import Dataset
from querist.data.images.decode import Refused, as_rgb
from querist.data.manifest import POOL, SPLITS, TEST
from querist.data.memory import from_arrays
from querist.errors import DataError
from querist.progress import tell

TWICE = 16
"""How many items are read twice, to find out that reading is random."""


class MapStyle(Protocol):
    """What ``torch.utils.data.Dataset`` promises."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


def from_torch(
    name: str, pool: MapStyle, test: MapStyle | None = None, *, classes: Sequence[str] | None = None
) -> Dataset:
    """Return a dataset of everything two map-style datasets hold, read once into memory.

    An item is an image, a pair ``(image, label, ...)`` or a mapping with the keys ``image`` and ``label``. An image is
    a PIL image, a uint8 array ``(h, w)`` or ``(h, w, 3)``, or a tensor with the channels first; a uint8 tensor
    becomes ``(h, w, c)``. PIL images become RGB by the rules of `querist.data.images.decode`, grey ones stay. Other
    numbers are kept as they are. Leave out augmentation and normalisation: encoders and learners bring their own, and a
    stochastic pool would be scored on other images than it is labelled by.

    >>> from_torch("pairs", [(np.zeros(2), 0), (np.ones(2), 1)]).classes
    ('0', '1')

    Args:
        name: what the set is called in specs and reports; keys are ``{name}/train/0``, ..., ``{name}/test/0``, ...
        pool: what can be labelled.
        test: what models are tested on, with labels.
        classes: class names in order; default the attribute ``classes`` of the pool.

    Raises:
        DataError: items of different shapes, labels that are no class numbers, or two reads that differ.
    """
    parts = [(split, part) for split, part in (("train", pool), ("test", test)) if part is not None]
    total = sum(len(part) for _, part in parts)
    x: npt.NDArray[Any] | None = None
    y = np.full(total, UNLABELLED, dtype=np.int64)
    keys: list[str] = []
    for split, part in parts:
        for i in range(len(part)):
            key = f"{name}/{split}/{i}"
            image, label = _read(part, i, key)
            if i < TWICE and not np.array_equal(image, _read(part, i, key)[0], equal_nan=image.dtype.kind == "f"):
                raise DataError(
                    f"{key}: two reads of the same item differ, so the dataset transforms items at random. Give it "
                    "without augmentation; learners that train an image model augment by themselves."
                )
            x = np.empty((total, *image.shape), dtype=image.dtype) if x is None else x
            if (image.shape, image.dtype) != (x.shape[1:], x.dtype):
                raise DataError(
                    f"{key}: expected items of one shape, {x.dtype} {x.shape[1:]} as the first, got {image.dtype} "
                    f"{image.shape}. Resize and crop them, or point the dataset 'folder' at the image files."
                )
            x[len(keys)], y[len(keys)] = image, label
            keys.append(key)
            if not len(keys) % 256:
                tell("reading items", len(keys), total)
    if x is None:
        raise DataError(f"{name}: the pool has no items.")
    split = np.repeat([SPLITS.index(POOL), SPLITS.index(TEST)], [len(pool), total - len(pool)])
    declared = classes if classes is not None else getattr(pool, "classes", None)
    return from_arrays(name, x, y, split=split, keys=keys, classes=declared)


def _read(part: MapStyle, i: int, key: str) -> tuple[npt.NDArray[Any], int]:
    item, label = part[i], None
    if isinstance(item, dict):
        if "image" not in item:
            raise DataError(f"{key}: expected a mapping with 'image' and 'label', got the keys {', '.join(item)}.")
        item, label = item["image"], item.get("label")
    elif isinstance(item, tuple | list):
        item, label = (*item, None)[:2]
    try:
        number = UNLABELLED if label is None else index(label)  # not `int`, which makes a class of 0.7
    except (TypeError, ValueError):
        raise DataError(f"{key}: expected the label to be a class number, got {label!r}.") from None
    try:
        return _image(item), number
    except Refused as refusal:
        raise DataError(f"{key}: {refusal}.") from None


def _image(item: Any) -> npt.NDArray[Any]:
    if isinstance(item, Image.Image):
        return np.asarray(item if item.mode in ("L", "RGB") else as_rgb(item))
    array = np.asarray(item)
    is_tensor = hasattr(item, "numel")
    if is_tensor and array.dtype == np.uint8 and array.ndim == 3 and array.shape[0] in (1, 3):
        return array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
    return array
