"""Small prints of pictures: the fixed-size item, a 64-bit perceptual hash, and the proof that two look the same."""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from querist.data.images.decode import Pixels
from querist.errors import DataError

SIDE = 32
"""Side of the proof and of the grey image that is hashed."""
KEPT = 8
"""The hash looks at the KEPT x KEPT lowest frequencies, without the mean."""


class Print(NamedTuple):
    """What is remembered of a picture.

    Attributes:
        item: ``(size, size, 3)`` uint8.
        proof: ``(SIDE, SIDE, 3)`` uint8.
        hash: 64 bits of which about half are set; unchanged by brightness and contrast, nearly so by re-encoding.
    """

    item: Pixels
    proof: Pixels
    hash: int


def take_print(image: Image.Image, size: int) -> Print:
    """Return the print of an RGB image: its central square, scaled with antialiasing."""
    proof = square(image, SIDE)
    return Print(np.asarray(square(image, size)), np.asarray(proof), perceptual_hash(np.asarray(proof.convert("L"))))


def square(image: Image.Image, side: int) -> Image.Image:
    """Return the central square of an image, ``side`` pixels wide."""
    # Cropped before scaling, which is the same pixels and never builds the scaled version of a very long strip.
    shorter = min(image.size)
    left, top = (image.width - shorter) / 2, (image.height - shorter) / 2
    box = (left, top, left + shorter, top + shorter)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)


def perceptual_hash(grey: npt.NDArray[np.uint8]) -> int:
    """Return 64 bits of ``(SIDE, SIDE)`` grey: which low frequencies of its cosine transform lie above their median.

    Integers throughout, so that it is the same on every machine. The rule is that of "pHash" (Zauner, Implementation
    and benchmarking of perceptual image hash functions, 2010).
    """
    cosines = _cosines()
    frequencies = (cosines @ grey.astype(np.int64) @ cosines.T).ravel()[1:]
    above = frequencies > np.sort(frequencies)[len(frequencies) // 2]
    return int.from_bytes(np.packbits(np.append(above, False)).tobytes(), "big")


@cache
def _cosines() -> npt.NDArray[np.int64]:
    """The first KEPT rows of the cosine transform of length SIDE, times 2**14."""
    angle = np.pi * np.outer(np.arange(KEPT), 2 * np.arange(SIDE) + 1) / (2 * SIDE)
    return np.rint(np.cos(angle) * 2**14).astype(np.int64)


def require_size(size: int) -> None:
    """Raise `DataError` unless items can have this side."""
    if not 8 <= size <= 1024:
        raise DataError(f"expected a size of items of 8 to 1024 pixels, got {size}.")
