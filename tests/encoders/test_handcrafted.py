"""Handcrafted features: histograms counted by hand, pictures of any size, and rows that depend on their image alone."""

import numpy as np
import pytest
from PIL import Image

from querist.data.memory import from_arrays
from querist.encoders.base import encoders
from querist.encoders.handcrafted import DIMENSIONS, Handcrafted, describe_image
from querist.encoders.resize import squash
from querist.errors import DataError, SpecError
from querist.evidence.view import View
from querist.kernels.workers import workers
from querist.registry import describe
from querist.seeds import Seed
from querist.testing.contract import EncoderContract

RNG = np.random.default_rng(0)
GRADIENTS, COLOURS = slice(0, 288), slice(288, 400)
TEXTURES = slice(400, 458)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def encode(images, **settings):
    data = from_arrays("toy", images, np.arange(len(images)) % 2)
    return Handcrafted(**settings).fit(View(data, data.pool), Seed(0)).encode(View(data, data.pool))


class TestContract(EncoderContract):
    make = Handcrafted

    @pytest.fixture(autouse=True)
    def _pictures(self, pictured):
        self.dataset = lambda: pictured(EncoderContract.dataset(self))


class TestBlocks:
    def test_colours_of_a_picture_are_its_colours(self):
        red, blue = (np.zeros((64, 64, 3), np.uint8) for _ in range(2))
        red[..., 0] = blue[..., 2] = 200
        hues = describe_image(red)[COLOURS][:48].reshape(4, 12)
        flat = 12**-0.5
        # 5 % of flat mass beside a full count in the bin of red, under the root; twelve histograms in the block.
        mass = np.full(12, 0.05 / 12)
        mass[0] += 200 / 200
        expected = (np.sqrt(mass / mass.sum()) - flat) / 12**0.5
        np.testing.assert_allclose(hues, np.tile(expected, (4, 1)), atol=1e-6)
        assert describe_image(blue)[COLOURS][:12].argmax() == 12 * 170 // 256
        assert (describe_image(red)[GRADIENTS] == describe_image(blue)[GRADIENTS]).all()

    def test_saturation_and_value_are_counted_in_quarters(self):
        image = np.zeros((64, 64, 3), np.uint8)
        image[:32, 32:] = 255
        block = describe_image(image)[COLOURS]
        saturation, value = block[48:80].reshape(4, 8), block[80:112].reshape(4, 8)
        assert (saturation.argmax(axis=1) == 0).all()
        assert value.argmax(axis=1).tolist() == [0, 7, 0, 0]
        np.testing.assert_allclose(value[1, 7], (1 - 8**-0.5) / 12**0.5, atol=1e-6)

    def test_gradients_know_directions(self):
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::8] = 255
        across = describe_image(stripes)[GRADIENTS].reshape(9, 4, 8)
        along = describe_image(stripes.transpose(1, 0, 2))[GRADIENTS].reshape(9, 4, 8)
        assert len(np.unique(across.argmax(axis=2))) == 1
        # Half a turn is eight bins, so a right angle is four.
        assert (across.argmax(axis=2)[0, 0] - along.argmax(axis=2)[0, 0]) % 8 == 4

    def test_textures_are_counts_of_uniform_patterns(self):
        block = describe_image(np.full((64, 64, 3), 90, np.uint8))[TEXTURES]
        # Every point of the circle is as bright as the middle: all eight (sixteen) bits are set, but for the border,
        # whose neighbours outside the picture are black.
        assert block[:40].reshape(4, 10).argmax(axis=1).tolist() == [8] * 4
        assert block[40:].argmax() == 16

    def test_no_block_is_longer_than_its_weight(self):
        f = encode(noise(40, 64, 64, 3))
        # Two unit vectors without negative entries are at most the root of two apart.
        for block, weight in ((GRADIENTS, 1), (COLOURS, 1), (TEXTURES, 3)):
            assert np.linalg.norm(f[:, block], axis=1).max() <= weight * 2**0.5
        assert f.shape == (40, DIMENSIONS) == (40, 458)

    def test_real_photographs_are_balanced(self):
        from skimage.data import astronaut, chelsea, coffee, rocket

        crops = [im[y : y + 128, x : x + 128] for im in (astronaut(), chelsea(), coffee(), rocket())
                 for y in (0, 64, 128) for x in (0, 100, 200)]  # fmt: skip
        f = encode(np.stack(crops))
        spread = np.array([f[:, block].var(axis=0).sum() for block in (GRADIENTS, COLOURS, TEXTURES)])
        assert spread.max() / spread.min() < 6


class TestAnyPicture:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 90), (2, 3), (16, 16), (64, 64), (300, 5)])
    @pytest.mark.parametrize("fill", [0, 7, 255])
    def test_constant_pictures_of_any_size_are_one_picture(self, shape, fill):
        f = encode(np.full((2, *shape, 3), fill, np.uint8))
        assert np.isfinite(f).all()
        assert (f == encode(np.full((2, 64, 64, 3), fill, np.uint8))).all()

    def test_grey_pictures_are_colour_pictures_of_equal_channels(self):
        grey = noise(3, 20, 30)
        assert (encode(grey) == encode(np.repeat(grey[..., None], 3, axis=3))).all()

    def test_pictures_are_resized_by_the_whole_and_smoothly(self):
        image = noise(90, 50, 3)
        small = squash(image, 32)
        assert small.shape == (32, 32, 3)
        assert (small == np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))).all()
        assert squash(small, 32) is small
        board = np.zeros((64, 64, 3), np.uint8)
        board[::2] = 255
        assert np.ptp(squash(board, 16)[2:-2]) < 10

    def test_brightness_of_gradients_hardly_matters(self):
        image = noise(64, 64, 3) // 2
        near, far = describe_image(image + 60), describe_image(noise(64, 64, 3))
        this = describe_image(image)
        assert np.abs(near - this)[GRADIENTS].max() < 1e-2 < np.abs(far - this)[GRADIENTS].max()

    def test_items_that_are_no_images_are_refused(self):
        with pytest.raises(DataError, match="are no images"):
            encode(np.zeros((4, 64), np.float32))

    @pytest.mark.parametrize("size", [0, 12, 62])
    def test_sizes_that_do_not_divide(self, size):
        with pytest.raises(SpecError, match=f"multiple of 4 of at least 16 pixels, got {size}"):
            Handcrafted(size=size)

    @pytest.mark.parametrize("size", [16, 20, 128])
    def test_every_size_has_the_same_number_of_features(self, size):
        assert encode(noise(2, 30, 30, 3), size=size).shape == (2, DIMENSIONS)


def test_neither_threads_nor_neighbours_change_a_bit():
    images = noise(150, 12, 12, 3)
    data = from_arrays("toy", images, np.arange(150) % 2)
    fitted = Handcrafted().fit(View(data, data.pool), Seed(0))
    whole = fitted.encode(View(data, data.pool))
    with workers(4):
        assert fitted.encode(View(data, data.pool)).tobytes() == whole.tobytes()
    ids = RNG.permutation(150)[:70]
    assert fitted.encode(View(data, ids)).tobytes() == whole[ids].tobytes()
    assert fitted.encode(View(data, ids[:0])).shape == (0, DIMENSIONS)


def test_tells_real_things_apart():
    """Digits of eight by eight pixels: nearest neighbours share their class."""
    from querist.data.dataset import datasets

    data = datasets.build("digits")
    view = View(data, data.pool[:400])
    f = Handcrafted().fit(view, Seed(0)).encode(view)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    near = f @ f.T
    np.fill_diagonal(near, -1)
    y = data.labels.unseal()[view.ids]
    assert (y[near.argmax(axis=1)] == y).mean() > 0.85


def test_is_registered():
    assert describe(encoders.build("handcrafted")) == {"name": "handcrafted", "size": 64}
    assert Handcrafted(size=32).identity() == {"name": "handcrafted", "size": 32}
