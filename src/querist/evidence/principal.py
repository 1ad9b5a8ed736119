"""Matrices of features with their principal components beside them, made once for a whole dataset."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Lock

from querist.arrays import Array, Ids, readonly
from querist.evidence.features import FrozenFeatures
from querist.evidence.needs import Features
from querist.kernels.centring import principal_rows


class WithPrincipal(Mapping[Features, Array]):
    """Features by need; those with ``components`` are made of the others when they are first read.

    Args:
        features: the matrices without components.
        pool: whose mean and axes are taken: neither a test row nor a label has a part in them.
    """

    def __init__(self, features: FrozenFeatures, pool: Ids) -> None:
        self._features, self._pool, self._lock = features, pool, Lock()
        self._made: dict[Features, Array] = {}

    def __getitem__(self, need: Features) -> Array:
        if need.components is None:
            return self._features[need]
        with self._lock:
            if need not in self._made:
                rows = self._features[replace(need, components=None)]
                self._made[need] = readonly(principal_rows(rows, self._pool, need.components))
            return self._made[need]

    @property
    def computed(self) -> Mapping[Features, Array]:
        """The matrices without components, by need; computed, or read from the cache, when first asked for."""
        return self._features.computed

    def __iter__(self) -> Iterator[Features]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)
