"""Images for nets: what is read and refused, and how it is normalised."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra deep")
pytestmark = pytest.mark.deep

from querist.data.memory import ArrayItems, from_arrays
from querist.errors import DataError
from querist.evidence.view import View
from querist.nets.images import SAMPLE, normalisation, read_images


def pictures(n=40, shape=(9, 7), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def dataset(x):
    return from_arrays("pictures", x, np.arange(len(x)) % 2)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3)])
def test_images_keep_their_pixels_and_get_a_channel_axis(shape):
    x = pictures(shape=shape)
    images = read_images(View(dataset(x), np.array([5, 3, 11])))
    assert images.shape == (3, 9, 7, shape[2] if len(shape) == 3 else 1)
    assert np.array_equal(images.ravel(), x[[5, 3, 11]].ravel())


@pytest.mark.parametrize(
    "x",
    [
        pictures().astype(np.float32) / 255,
        pictures().astype(np.int64),
        pictures(shape=(63,)),
        pictures(shape=(4, 9, 7)),
        pictures(shape=(2, 3, 4, 3)),
    ],
    ids=["float", "int64", "vectors", "channels first", "five axes"],
)
def test_what_is_no_image_is_refused(x):
    with pytest.raises(DataError, match=r"Expected images as uint8 arrays \(n, h, w\).*'linear', takes any items"):
        read_images(View(dataset(x), np.arange(5)))


class Jittered(ArrayItems):
    """A dataset with its augmentation inside: another brightness at every reading."""

    def __init__(self, x, rows):
        super().__init__(x)
        self.rows, self.readings = rows, 0

    def __getitem__(self, ids):
        self.readings += 1
        changed = np.isin(ids, self.rows)[:, None, None]
        return np.where(changed, super().__getitem__(ids) // (1 + self.readings), super().__getitem__(ids))


def test_Q1_a_pool_that_changes_between_two_readings_is_an_error():
    data = replace(dataset(pictures()), items=Jittered(pictures(), [2, 30]))
    with pytest.raises(DataError, match="items 2 were read twice and differ: the items are augmented"):
        read_images(View(data, np.arange(20)))
    with pytest.raises(DataError, match="items 30, 2 were read twice"):
        read_images(View(data, np.array([30, 2, 4])))
    assert len(read_images(View(data, np.arange(3, 20)))) == 17


@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_the_mean_and_deviation_of_every_channel(channels):
    x = pictures(shape=(9, 7, channels))
    data = dataset(x)
    found = normalisation(View(data, np.arange(0, 40, 3)), View(data, np.setdiff1d(np.arange(40), np.arange(0, 40, 3))))
    assert found.mean == pytest.approx(x.mean(axis=(0, 1, 2)))
    assert found.std == pytest.approx(x.std(axis=(0, 1, 2)))
    z = found(torch.from_numpy(x.transpose(0, 3, 1, 2)))
    assert z.is_contiguous(memory_format=torch.channels_last)
    expected = (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))
    np.testing.assert_allclose(z.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_normalisation_does_not_depend_on_what_is_labelled():
    data = dataset(pictures(n=3 * SAMPLE, shape=(2, 2)))
    everything = np.arange(3 * SAMPLE)
    found = set()
    for labelled in ([0], [5, 9, 700], everything[::2], everything):
        ids = np.asarray(labelled)
        found.add(normalisation(View(data, ids), View(data, np.setdiff1d(everything, ids))))
        repeated = np.sort(np.append(ids, ids[0]))
        found.add(normalisation(View(data, repeated), View(data, np.setdiff1d(everything, ids))))
    assert len({(n.mean, n.std) for n in found}) == 1


def test_normalisation_reads_a_sample_and_no_label():
    x = pictures(n=4 * SAMPLE, shape=(2, 2))
    read = []

    class Counted(ArrayItems):
        def __getitem__(self, ids):
            read.extend(np.asarray(ids).tolist())
            return super().__getitem__(ids)

    data = replace(dataset(x), items=Counted(x))
    normalisation(View(data, np.arange(3)), View(data, np.arange(3, len(x))))
    assert len(set(read)) == SAMPLE


def test_constant_channels_are_not_divided_by_zero():
    x = np.full((6, 4, 4), 9, np.uint8)
    found = normalisation(View(dataset(x), np.arange(2)), View(dataset(x), np.arange(2, 6)))
    assert (found.mean, found.std) == ((9.0,), (1.0,))
    assert not found(torch.from_numpy(x[:, None])).any()
