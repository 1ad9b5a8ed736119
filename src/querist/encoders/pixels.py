"""The items themselves as features: flattened, optionally projected on principal components."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Ids, readonly, require_finite
from querist.encoders.base import Encoder, FittedEncoder, register
from querist.errors import SpecError
from querist.evidence.view import View
from querist.kernels.pca import principal_axes
from querist.kernels.threads import single_threaded_blas
from querist.seeds import Seed

BLOCK = 512
"""Rows per block. A constant and not a setting, since block boundaries decide the last bits of the principal axes."""


@register("pixels", cite="Jolliffe, Principal Component Analysis, Springer 2002")
@dataclass(frozen=True, kw_only=True)
class Pixels(Encoder):
    """Flattens items to float32 (uint8 divided by 255) and keeps `pca` principal components, if given.

    The components are fitted on the pool: exact eigenvectors of its covariance, so no randomness is involved.

    Attributes:
        pca: number of components; None keeps the flattened item.
    """

    pca: int | None = None

    def __post_init__(self) -> None:
        if self.pca is not None and self.pca < 1:
            raise SpecError(f"expected pca to be a number of components of at least 1, or None, got {self.pca}.")

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use.

        Raises:
            SpecError: more components than dimensions or than pool items.
        """
        if self.pca is None:
            return FittedPixels()
        d = 0 if not len(pool) else next(_flat_blocks(pool)).shape[1]
        most = min(d, len(pool))
        if self.pca > most:
            raise SpecError(
                f"pixels.pca: {self.pca} components do not fit {len(pool)} pool items of {d} dimensions; "
                f"the most is {most}."
            )
        with single_threaded_blas():
            mean, axes = principal_axes(lambda: _flat_blocks(pool), len(pool), d, self.pca)
        return FittedPixels(readonly(mean), readonly(axes))


@dataclass(frozen=True, eq=False)
class FittedPixels(FittedEncoder):
    """`Pixels` with the mean ``(d,)`` and the axes ``(d, k)`` of the pool, or without a projection."""

    mean: Array | None = None
    axes: Array | None = None

    def encode(self, view: View) -> Array:
        """Return ``(n, d)`` or ``(n, k)`` float32 features, row i depending on item i alone, to the last bit."""
        if self.mean is None or self.axes is None:
            return flatten(view.items(), view.ids)
        encoded = np.empty((len(view), self.axes.shape[1]), dtype=np.float32)
        # A matrix product treats the last rows of a ragged block by other code, with other rounding. Every product has
        # the same shape here, so a row's bits do not depend on how many rows are encoded with it.
        padded = np.zeros((BLOCK, len(self.mean)))
        start = 0
        with single_threaded_blas():
            for block in _flat_blocks(view):
                np.subtract(block, self.mean, out=padded[: len(block)])
                encoded[start : start + len(block)] = (padded @ self.axes)[: len(block)]
                start += len(block)
        return encoded


def _flat_blocks(view: View) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the items of a view as ``(m, d)`` float32, at most `BLOCK` rows at a time."""
    for part in view.stream(BLOCK):
        yield flatten(part.items(), part.ids)


def flatten(items: npt.NDArray[Any], ids: Ids | None = None) -> npt.NDArray[np.float32]:
    """Return items ``(n, ...)`` as ``(n, d)`` float32; uint8 is divided by 255, every other type keeps its values.

    Raises:
        DataError: a value is not finite, or beyond the range of float32; names the ids.
    """
    with np.errstate(over="ignore"):
        flat = items.reshape(len(items), math.prod(items.shape[1:])).astype(np.float32)
    if items.dtype == np.uint8:
        return flat / np.float32(255)
    require_finite(flat, "items as float32", ids)
    return flat
