"""Features without weights: histograms of gradients, colours and textures, for any folder of images offline."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from querist.arrays import Array
from querist.encoders.base import Encoder, FittedEncoder, register
from querist.encoders.resize import squash
from querist.errors import SpecError
from querist.evidence.view import View
from querist.kernels.workers import each_block
from querist.seeds import Seed

ORIENTATIONS = 8
CELLS = 4
"""Cells per side for gradients; two by two overlapping cells are one histogram."""
QUARTERS = 2
"""Cells per side for colour and texture."""
HUES = 12
LEVELS = 8
"""Bins of saturation and of value."""
FLAT = 0.05
"""Share of a histogram of hues that is spread evenly, so that the hue of a grey quarter is "any", not noise."""
TEXTURE = 3.0
"""Weight of the block of textures. Local binary patterns of photographs vary by about a tenth of the variance of the
other two blocks (UC Merced, CIFAR-10, magnetic tiles); with this weight no block outweighs the others."""
DIMENSIONS = (CELLS - 1) ** 2 * 4 * ORIENTATIONS + QUARTERS**2 * (HUES + 2 * LEVELS + 10) + 18
SMALLEST = 16
BLOCK = 64
"""Images per thread and turn."""


@register(
    "handcrafted",
    cite="Dalal & Triggs, CVPR 2005; Ojala, Pietikainen & Maenpaa, TPAMI 2002; Arandjelovic & Zisserman, CVPR 2012",
)
@dataclass(frozen=True, kw_only=True)
class Handcrafted(Encoder):
    """Describes images by histograms of gradients, colours and local binary patterns; needs no weights.

    Every image is first resized to one square. Nothing is fitted, so features stay the same when the pool grows.

    Attributes:
        size: side of that square in pixels.
    """

    size: int = 64

    def __post_init__(self) -> None:
        if self.size < SMALLEST or self.size % CELLS:
            raise SpecError(
                f"expected size to be a multiple of {CELLS} of at least {SMALLEST} pixels, got {self.size}."
            )

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; the pool is not looked at."""
        return FittedHandcrafted(self.size)


@dataclass(frozen=True)
class FittedHandcrafted(FittedEncoder):
    """`Handcrafted`, ready to use."""

    size: int

    def encode(self, view: View) -> Array:
        """Return ``(n, DIMENSIONS)`` float32 features, row i depending on image i alone, to the last bit.

        Raises:
            DataError: the items are no images.
        """
        encoded = np.empty((len(view), DIMENSIONS), dtype=np.float32)

        def work(block: slice) -> None:
            images = view.take(np.arange(block.start, block.stop)).images()
            for row, image in enumerate(images, start=block.start):
                encoded[row] = describe_image(squash(image, self.size))

        each_block(work, len(view), BLOCK)
        return encoded


def describe_image(image: npt.NDArray[np.uint8]) -> Array:
    """Return the features ``(DIMENSIONS,)`` of a square RGB image ``(s, s, 3)``: gradients, colours, textures.

    Each of the three blocks is made of histograms. The square root of a histogram that sums to one is a unit vector,
    and products of such vectors are Hellinger kernels; the root of the flat histogram is subtracted, so that a picture
    without any preference lies at zero, and the block is divided by the root of the number of its histograms, which
    leaves it at most about one unit long. Textures, which vary least, are then weighted by `TEXTURE`.
    """
    grey = np.rint(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    cells = _cells(len(image), QUARTERS)
    hue, saturation, value = np.moveaxis(np.asarray(Image.fromarray(image).convert("HSV")), 2, 0)
    flat = FLAT * (len(image) / QUARTERS) ** 2 / HUES
    colours = [
        _counts(cells, hue, 256 // HUES + 1, HUES, saturation / 255.0) + flat,
        _counts(cells, saturation, 256 // LEVELS, LEVELS),
        _counts(cells, value, 256 // LEVELS, LEVELS),
    ]
    blocks = [_gradients(grey)], [_rooted(h) for h in colours], [_rooted(h) for h in _patterns(grey, cells)]
    weights = 1.0, 1.0, TEXTURE
    return np.concatenate([_balanced(b) * w for b, w in zip(blocks, weights, strict=True)]).astype(np.float32)


def _gradients(grey: npt.NDArray[np.uint8]) -> Array:
    """Return unit vectors ``(cells, 4 * ORIENTATIONS)`` of clipped gradient histograms; zeros where nothing changes."""
    from skimage.feature import hog

    cell = len(grey) // CELLS
    found = hog(
        grey, orientations=ORIENTATIONS, pixels_per_cell=(cell, cell), cells_per_block=(2, 2), block_norm="L2-Hys",
        feature_vector=False,
    )  # fmt: skip
    return np.asarray(found).reshape((CELLS - 1) ** 2, 4 * ORIENTATIONS)


def _patterns(grey: npt.NDArray[np.uint8], cells: npt.NDArray[np.intp]) -> list[Array]:
    """Return counts of uniform local binary patterns: of radius 1 in every quarter, of radius 2 in the whole."""
    from skimage.feature import local_binary_pattern

    near, far = (local_binary_pattern(grey, 8 * r, r, "uniform").astype(np.intp) for r in (1, 2))
    return [_counts(cells, near, 1, 10), _counts(np.zeros_like(cells), far, 1, 18)]


def _cells(side: int, per_side: int) -> npt.NDArray[np.intp]:
    """Return in which cell of a regular grid each pixel ``(side, side)`` lies."""
    along = np.arange(side) * per_side // side
    return along[:, None] * per_side + along


def _counts(
    cells: npt.NDArray[np.intp], values: npt.NDArray[np.integer], width: int, bins: int, weights: Array | None = None
) -> Array:
    """Return histograms ``(cells, bins)`` of integer values in bins of one width."""
    at = cells * bins + values // width
    total = (int(cells.max()) + 1) * bins
    return np.bincount(at.ravel(), None if weights is None else weights.ravel(), total).reshape(-1, bins).astype(float)


def _rooted(counts: Array) -> Array:
    """Return the square roots of histograms scaled to sum to one; each row has length one."""
    return np.sqrt(counts / counts.sum(axis=1, keepdims=True))


def _balanced(histograms: list[Array]) -> Array:
    """Return unit rows of several widths as one flat block: each less the flat row, all divided alike."""
    count = sum(map(len, histograms))
    return np.concatenate([(h - h.shape[1] ** -0.5).ravel() for h in histograms]) / np.sqrt(count)
