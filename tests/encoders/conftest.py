"""Data for encoders of images: pictures that are read through the items, so that whoever watches items sees it."""

import numpy as np
import pytest

from querist.data.dataset import Dataset
from querist.data.memory import ArrayItems


class Pictured(Dataset):
    """A dataset whose items are its pictures, also after the items were replaced."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "picture", lambda i: np.clip(self.items[np.array([i])][0], 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def pictured():
    """Return a function from a dataset of arrays ``(n, h, w)`` around zero to the same rows as grey pictures."""

    def convert(data):
        images = data.items[np.arange(len(data.items))] * 30 + 128
        fields = {name: getattr(data, name) for name in ("manifest", "labels", "label_fingerprint")}
        return Pictured(items=ArrayItems(images), **fields)

    return convert
