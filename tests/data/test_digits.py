"""The bundled digits: sizes, scale, split, pictures."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from querist.data.digits import digits
from querist.seeds import Seed


@pytest.fixture(scope="module")
def data():
    return digits()


def test_sizes_and_classes(data):
    assert (len(data.pool), len(data.test)) == (1297, 500)
    assert data.classes == tuple("0123456789")
    assert data.manifest.keys[7] == "digits/7"


def test_items_are_the_pixels_of_the_source_in_its_order(data):
    source = load_digits()
    items = data.items[np.arange(1797)]
    assert items.dtype == np.float32
    assert (items * 16 == source.data).all()
    assert (data.labels.unseal() == source.target).all()


def test_pictures_span_the_greys(data):
    item = data.items[np.array([42])][0].reshape(8, 8)
    picture = data.picture(42)
    assert picture.dtype == np.uint8
    assert picture.shape == (8, 8)
    assert (picture == np.rint(item * 255)).all()
    assert picture.max() == 255


def test_the_split_is_the_documented_draw_and_never_changes(data):
    hashes = Seed(0).child("digits", "split").key().hash(np.arange(1797))
    assert data.test.tolist() == sorted(np.argsort(hashes)[:500].tolist())
    assert data.manifest.fingerprint == "b39413743d022b9825fbc8fcabceb8d9"
    assert data.items.fingerprint == "f8393088257e54fdb41c88162dd9b70b"


def test_the_split_is_about_balanced(data):
    counts = np.bincount(data.labels.unseal()[data.test], minlength=10)
    assert counts.min() >= 35
    assert counts.max() <= 65
