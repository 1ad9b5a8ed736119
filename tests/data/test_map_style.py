"""Any map-style dataset becomes one of ours; what cannot be right is refused."""

import numpy as np
import pytest
from PIL import Image

from querist.data.map_style import from_torch
from querist.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, size=(5, 6, 4, 3), dtype=np.uint8)
LABELS = [1, 0, 2, 1, 0]


class Pairs(list):
    classes = ("ant", "bee", "fly")


def same(data, images=IMAGES):
    return np.array_equal(data.items[np.arange(len(images))], images)


def test_pool_and_test_follow_one_another():
    data = from_torch(
        "toy", Pairs(zip(IMAGES[:3], LABELS[:3], strict=True)), list(zip(IMAGES[3:], LABELS[3:], strict=True))
    )
    assert same(data)
    assert data.labels.unseal().tolist() == LABELS
    assert data.classes == ("ant", "bee", "fly")
    assert data.manifest.keys == ("toy/train/0", "toy/train/1", "toy/train/2", "toy/test/0", "toy/test/1")
    assert data.pool.tolist() == [0, 1, 2]
    assert data.test.tolist() == [3, 4]


@pytest.mark.parametrize(
    "item",
    [
        lambda x, y: (Image.fromarray(x), y),
        lambda x, y: (x, np.int64(y), "more"),
        lambda x, y: {"image": x, "label": y},
    ],
)
def test_every_kind_of_item(item):
    data = from_torch("toy", [item(x, y) for x, y in zip(IMAGES, LABELS, strict=True)])
    assert same(data)
    assert data.labels.unseal().tolist() == LABELS


def test_unlabelled_items_stay_unlabelled():
    data = from_torch("toy", list(IMAGES), classes=("a", "b"))
    assert data.labels.unseal().tolist() == [-1] * 5


@pytest.mark.deep
def test_real_tensors_have_their_channels_first():
    torch = pytest.importorskip("torch", reason="needs the extra deep")
    first = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())
    data = from_torch("toy", torch.utils.data.TensorDataset(first, torch.tensor(LABELS)))
    assert same(data)
    grey = from_torch("grey", torch.utils.data.TensorDataset(first[:, :1], torch.tensor(LABELS)))
    assert same(grey, IMAGES[..., 0])


def test_pictures_of_every_mode_follow_the_rules_of_files():
    clear = Image.new("RGBA", (4, 6), (255, 0, 0, 0))
    deep = Image.fromarray(np.full((6, 4), 257 * 30, np.uint16))
    inks = Image.frombytes("CMYK", (4, 6), RNG.bytes(96))
    data = from_torch("modes", [(clear, 0), (deep, 1), (inks, 0)])
    white, grey, ink = data.items[np.arange(3)]
    assert (white == 255).all()
    assert (grey == 30).all()
    assert np.array_equal(ink, np.asarray(inks.convert("RGB")))


def test_a_stochastic_pool_is_an_error_that_says_so():
    class Noisy:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return RNG.random(4), 0

    with pytest.raises(DataError, match="noisy/train/0: two reads of the same item differ"):
        from_torch("noisy", Noisy())


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([(IMAGES[0], 0), (IMAGES[1, :5], 1)], r"toy/train/1: expected items of one shape, uint8 \(6, 4, 3\)"),
        ([(IMAGES[0], "cat")], "expected the label to be a class number, got 'cat'"),
        ([(IMAGES[0], 0.0), (IMAGES[1], 1.7)], r"toy/train/0: expected the label to be a class number, got 0\.0"),
        ([(Image.fromarray(np.full((6, 4), 2.5, np.float32)), 0)], r"toy/train/0: unsupported: floating-point pixels"),
        ([{"img": IMAGES[0]}], "'image' and 'label', got the keys img"),
        ([], "no items"),
    ],
)
def test_what_cannot_be_right_is_refused(items, message):
    with pytest.raises(DataError, match=message):
        from_torch("toy", items)
