"""Write the digits of scikit-learn as grey images of 8 x 8 pixels, which a net can be trained on, to digits.npz.

    python studies/tuning/prepare.py

1,297 images to choose from and 500 to test on, as in the dataset `digits`, whose items are rows of numbers.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from querist.data.digits import digits


def main() -> None:
    """Write the file beside this one."""
    data = digits()
    truth = load_digits()
    images = np.rint(truth.images * (255 / 16)).astype(np.uint8)
    split = np.full(len(images), "pool")
    split[data.test] = "test"
    path = Path(__file__).with_name("digits.npz")
    np.savez_compressed(path, x=images, y=truth.target, split=split)
    print(f"{path}: {len(data.pool):,} images to choose from, {len(data.test):,} to test on")


if __name__ == "__main__":
    main()
