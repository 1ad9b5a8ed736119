"""Prints of pictures: the hash against a cosine transform by scipy, the square against a plain crop."""

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from querist.data.images.prints import KEPT, SIDE, perceptual_hash, require_size, square, take_print
from querist.errors import DataError


def smooth(seed, side=SIDE):
    colours = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(colours).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("seed", range(20))
def test_the_hash_is_that_of_the_cosine_transform(seed):
    grey = smooth(seed)
    low = dctn(grey.astype(float), type=2)[:KEPT, :KEPT].ravel()[1:]
    above = low > np.sort(low)[31]
    assert above.sum() == 31
    expected = int("".join("1" if bit else "0" for bit in above) + "0", 2)
    # The type-2 transform scales rows alike but for the first; that changes no order within 1e-3 of these.
    assert (perceptual_hash(grey) ^ expected).bit_count() <= 2


def test_the_hash_ignores_brightness_and_contrast():
    grey = smooth(3) // 2 + 40
    assert perceptual_hash(grey) == perceptual_hash(grey + 60)
    assert (perceptual_hash(grey) ^ perceptual_hash((grey * 1.5).astype(np.uint8))).bit_count() <= 4
    assert (perceptual_hash(grey) ^ perceptual_hash(grey[::-1])).bit_count() > 16


def test_a_flat_picture_has_the_empty_hash():
    assert perceptual_hash(np.full((SIDE, SIDE), 77, np.uint8)) == 0


@pytest.mark.parametrize(("width", "height"), [(90, 60), (60, 90), (61, 90), (1, 7), (7, 1), (5000, 3)])
def test_the_square_is_the_middle(width, height):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if (width - side) % 2 == (height - side) % 2 == 0:
        assert (np.asarray(square(image, side)) == np.asarray(image)[top : top + side, left : left + side]).all()
    assert square(image, 16).size == (16, 16)


def test_scaling_down_averages():
    # A checkerboard of single pixels is grey from afar; without antialiasing it would be black or white.
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    taken = take_print(Image.fromarray(board).convert("RGB"), 32)
    assert np.abs(taken.item.astype(int) - 127).max() <= 2
    assert taken.item.shape == taken.proof.shape == (32, 32, 3)


@pytest.mark.parametrize("size", [7, 0, -1, 1025])
def test_sizes_beyond_reason(size):
    with pytest.raises(DataError, match=f"8 to 1024 pixels, got {size}"):
        require_size(size)
