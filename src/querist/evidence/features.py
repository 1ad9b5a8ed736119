"""The feature store: frozen features of every item, encoded once per dataset, encoder and seed."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np

from querist.arrays import Array, Ids, require_finite
from querist.data.dataset import Dataset
from querist.errors import DataError
from querist.evidence.cache import Cache, MemoryCache
from querist.evidence.needs import Features
from querist.evidence.view import View
from querist.kernels.workers import each_block
from querist.progress import tell
from querist.seeds import Seed

CHUNK = 512
"""Rows encoded at a time."""


class Fitted(Protocol):
    """An encoder that can be used; see `querist.encoders.base.FittedEncoder`."""

    def encode(self, view: View) -> Array:
        """Return ``(n, d)`` float32, row i depending on item i alone."""
        ...


class Fittable(Protocol):
    """An encoder before it has seen the pool; see `querist.encoders.base.Encoder`."""

    storage: ClassVar[Literal["float32", "float16"]]

    def fit(self, pool: View, seed: Seed) -> Fitted:
        """Return the encoder ready to use."""
        ...

    def identity(self) -> dict[str, object]:
        """Return all that features depend on, as JSON values."""
        ...


Encoding: TypeAlias = Callable[[Dataset, Fittable, Seed, int], Iterator[Array]]
"""Yields the features of all rows from some row on, in blocks of `CHUNK` rows; it says where they are computed."""


def encode_here(dataset: Dataset, encoder: Fittable, seed: Seed, start: int) -> Iterator[Array]:
    """Encode in this process."""
    fitted = encoder.fit(View(dataset, dataset.pool), seed)
    for part in View(dataset, np.arange(start, len(dataset.manifest))).stream(CHUNK):
        yield fitted.encode(part)


def compute_features(
    dataset: Dataset, encoder: Fittable, seed: Seed, cache: Cache | None = None, encoding: Encoding = encode_here
) -> dict[Features, Array]:
    """Return the features of all items by need, for `View` and the sources of evidence.

    There are two read-only matrices ``(N, d)``: as the encoder gives them (``normalise=False``), kept as precisely as
    its ``storage`` says, and with rows of unit length in float32 (rows of zeros stay zero). Each is found under
    ``Features(frame="all")`` and under ``Features(frame="all", encoder=<its registry name>)``.

    The encoder is fitted on a view of the pool that has no labels and no test rows, and only if the matrix is not in
    the cache. An entry is addressed by the manifest, the items, the identity of the encoder (its whole configuration,
    the content of its weights), the seed and the dtype; the labels are no part of it, since no encoder sees them. What
    a killed process had encoded is not encoded again. Progress is told as ``encoding``.

    Args:
        dataset: whose items to encode.
        encoder: a component of the registry of encoders, or anything with the same methods.
        seed: randomness of the encoder.
        cache: where to keep the matrices; None keeps them in memory.
        encoding: where to compute them, no part of results; see `querist.encoders.spread` for several devices.

    Raises:
        DataError: the encoder gave values that are not finite (names the ids), or rows of another number or kind.
        StoreError: the cache cannot be written.
    """
    cache = cache or MemoryCache()
    total = len(dataset.manifest)
    identity = encoder.identity()
    name = str(identity["name"])

    def raw_blocks(start: int) -> Iterator[Array]:
        done = start
        tell("encoding", done, total)
        for block in encoding(dataset, encoder, seed, start):
            ids = np.arange(done, min(done + CHUNK, total))
            yield _kept(block, ids, name, np.dtype(encoder.storage))
            done += len(ids)
            tell("encoding", done, total)

    def unit_blocks(start: int) -> Iterator[Array]:
        for first in range(start, total, CHUNK):
            yield unit_rows(raw[first : first + CHUNK])

    key = {
        "what": "features",
        "manifest": dataset.manifest.fingerprint,
        "items": dataset.items.fingerprint,
        "encoder": identity,
        "seed": [seed.entropy, *seed.path],
        "dtype": encoder.storage,
    }
    raw = cache.fetch({**key, "normalise": False}, total, raw_blocks)
    unit = cache.fetch({**key, "normalise": True}, total, unit_blocks)
    return {need: unit if need.normalise else raw for need in _needs(name)}


class FrozenFeatures(Mapping[Features, Array]):
    """What `compute_features` returns, not computed before one of the matrices is read.

    Which needs are met can be asked without computing anything.

    Args:
        encoder: registry name of the encoder.
        compute: called once at most.
    """

    def __init__(self, encoder: str, compute: Callable[[], Mapping[Features, Array]]) -> None:
        self._compute, self._needs = compute, _needs(encoder)

    @cached_property
    def computed(self) -> Mapping[Features, Array]:
        """The matrices by need; computed, or read from the cache, when first asked for."""
        return self._compute()

    def __getitem__(self, need: Features) -> Array:
        if need not in self._needs:
            raise KeyError(need)
        return self.computed[need]

    def __iter__(self) -> Iterator[Features]:
        return iter(self._needs)

    def __len__(self) -> int:
        return len(self._needs)


def _needs(encoder: str) -> tuple[Features, ...]:
    return tuple(
        Features(frame="all", encoder=name, normalise=normalise)
        for name in (None, encoder)
        for normalise in (True, False)
    )


def _kept(encoded: Array, ids: Ids, name: str, dtype: np.dtype[Any]) -> Array:
    """Return the features of some rows, checked, as they are to be kept."""
    if encoded.dtype != np.float32 or encoded.ndim != 2 or len(encoded) != len(ids):
        raise DataError(
            f"encoder {name}: expected float32 features of shape ({len(ids)}, d), got {encoded.dtype} of shape "
            f"{encoded.shape}."
        )
    require_finite(encoded, f"features of encoder {name}", ids)
    if dtype == encoded.dtype:
        return encoded
    with np.errstate(over="ignore"):
        kept = encoded.astype(dtype)
    require_finite(kept, f"features of encoder {name}, kept as {dtype}", ids)
    return kept


def unit_rows(x_n_d: Array) -> Array:
    """Return the rows of ``(n, d)`` scaled to length one, in float32; rows of zeros stay zero."""
    unit_n_d = np.empty(x_n_d.shape, np.float32)

    def work(block: slice) -> None:
        wide = np.ascontiguousarray(x_n_d[block], np.float64)
        norm = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
        unit_n_d[block] = wide / np.where(norm == 0, 1.0, norm)

    each_block(work, len(x_n_d), CHUNK)
    return unit_n_d
