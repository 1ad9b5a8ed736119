"""The handwritten digits bundled with scikit-learn: real data that needs no download."""

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from querist.data.dataset import Dataset, register
from querist.data.manifest import POOL, SPLITS, TEST
from querist.data.memory import from_arrays
from querist.seeds import Seed

TEST_SIZE = 500


@register("digits", cite="Alpaydin & Kaynak, UCI Optical Recognition of Handwritten Digits, 1998")
def digits() -> Dataset:
    """Handwritten digits, 8 x 8 grey: 1,297 pool and 500 test items, 10 classes.

    Items are the 64 pixel values in reading order, float32 in 0..1 (the source has the integers 0..16). They are the
    test part of the UCI set as scikit-learn ships it: https://doi.org/10.24432/C50P49, licence CC BY 4.0. There is no
    official split of these 1,797; the 500 test items are drawn once by ``Seed(0).child("digits", "split")``.
    Digits must not be flipped when they are augmented.
    """
    bunch = load_digits()
    images: npt.NDArray[np.float64] = bunch.images  # pyright: ignore[reportAttributeAccessIssue]
    n = len(images)
    order = np.argsort(Seed(0).child("digits", "split").key().hash(np.arange(n)))
    split = np.full(n, SPLITS.index(POOL), dtype=np.int8)
    split[order[:TEST_SIZE]] = SPLITS.index(TEST)
    grey = np.rint(images * (255 / 16)).astype(np.uint8)
    return from_arrays(
        "digits",
        (images.reshape(n, -1) / 16).astype(np.float32),
        bunch.target,  # pyright: ignore[reportAttributeAccessIssue]
        split=split,
        classes=tuple("0123456789"),
        picture=grey.__getitem__,
    )
