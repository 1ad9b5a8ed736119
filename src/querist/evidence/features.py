"""The feature store: frozen features of every item, encoded once per dataset, encoder and seed."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from querist.arrays import Array, require_finite
from querist.data.dataset import Dataset
from querist.errors import DataError
from querist.evidence.cache import Cache, MemoryCache
from querist.evidence.needs import Features
from querist.evidence.view import View
from querist.registry import describe
from querist.seeds import Seed

CHUNK = 4096
"""Rows encoded at a time."""


class Fitted(Protocol):
    """An encoder that can be used; see `querist.encoders.base.FittedEncoder`."""

    def encode(self, view: View) -> Array:
        """Return ``(n, d)`` float32, row i depending on item i alone."""
        ...


class Fittable(Protocol):
    """An encoder before it has seen the pool; see `querist.encoders.base.Encoder`."""

    def fit(self, pool: View, seed: Seed) -> Fitted:
        """Return the encoder ready to use."""
        ...


def compute_features(
    dataset: Dataset,
    encoder: Fittable,
    seed: Seed,
    cache: Cache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Features, Array]:
    """Return the features of all items by need, for `View` and the sources of evidence.

    There are two read-only float32 matrices ``(N, d)``: as the encoder gives them (``normalise=False``), and with rows
    of unit length (rows of zeros stay zero). Each is found under ``Features(frame="all")`` and under
    ``Features(frame="all", encoder=<its registry name>)``.

    The encoder is fitted on a view of the pool that has no labels and no test rows, and only if the matrix is not in
    the cache. An entry is addressed by the manifest, the items, the whole configuration of the encoder, the seed and
    the dtype; the labels are no part of it, since no encoder sees them.

    Args:
        dataset: whose items to encode.
        encoder: a component of the registry of encoders, or anything with the same methods.
        seed: randomness of the encoder.
        cache: where to keep the matrices; None keeps them in memory.
        progress: called with the number of rows encoded so far and the number of all.

    Raises:
        DataError: the encoder gave values that are not finite (names the ids), or rows of another number or kind.
        StoreError: the cache cannot be written.
    """
    cache = cache or MemoryCache()
    total = len(dataset.manifest)
    everything = View(dataset, np.arange(total))
    described = describe(encoder)

    def raw_blocks() -> Iterator[Array]:
        fitted = encoder.fit(View(dataset, dataset.pool), seed)
        done = 0
        for part in everything.stream(CHUNK):
            encoded = fitted.encode(part)
            if encoded.dtype != np.float32 or encoded.ndim != 2 or len(encoded) != len(part):
                raise DataError(
                    f"encoder {described['name']}: expected float32 features of shape ({len(part)}, d), got "
                    f"{encoded.dtype} of shape {encoded.shape}."
                )
            require_finite(encoded, f"features of encoder {described['name']}", part.ids)
            done += len(part)
            if progress is not None:
                progress(done, total)
            yield encoded

    def unit_blocks() -> Iterator[Array]:
        for start in range(0, total, CHUNK):
            yield unit_rows(raw[start : start + CHUNK])

    key = {
        "what": "features",
        "manifest": dataset.manifest.fingerprint,
        "items": dataset.items.fingerprint,
        "encoder": described,
        "seed": [seed.entropy, *seed.path],
        "dtype": "float32",
    }
    raw = cache.fetch({**key, "normalise": False}, total, raw_blocks)
    unit = cache.fetch({**key, "normalise": True}, total, unit_blocks)
    names = (None, str(described["name"]))
    return {
        Features(frame="all", encoder=name, normalise=normalise): matrix
        for name in names
        for normalise, matrix in ((True, unit), (False, raw))
    }


def unit_rows(x_n_d: Array) -> Array:
    """Return the rows of ``(n, d)`` scaled to length one, in float32; rows of zeros stay zero."""
    wide = x_n_d.astype(np.float64)
    norm = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return (wide / np.where(norm == 0, 1.0, norm)).astype(np.float32)
