"""Features that are given: rows of numbers that need no encoder, used where they lie instead of being copied."""

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from querist.arrays import Array, Ids, readonly, require_finite
from querist.data.dataset import Dataset
from querist.data.memory import ArrayItems
from querist.evidence.features import unit_rows
from querist.evidence.needs import Features, PretrainTrace
from querist.progress import tell
from querist.session.setting import Setting

BLOCK = 65_536
"""Rows that are scaled at a time."""


class GivenFeatures(Setting):
    """A setting whose features are the items themselves: what the encoder `pixels` makes of them, without its copies.

    The items stay what they are, float16 or float32, in memory or in a file. Rows of unit length take memory only once
    a strategy or a learner asks for them.

    Args:
        dataset: one for which `are_given` holds.
        seed: as for `Setting`.
    """

    def __init__(self, dataset: Dataset, *, seed: int = 0) -> None:
        super().__init__(dataset, "pixels", seed=seed)

    def provide(self, need: Features | PretrainTrace, ids: Ids) -> Array:
        """Return features of `ids`, ascending; those of all items are not copied."""
        if isinstance(need, PretrainTrace):
            return super().provide(need, ids)
        whole = self.features[need.on("all")]  # pyright: ignore[reportArgumentType]
        return whole if len(ids) == len(whole) else super().provide(need, ids)

    def _compute(self) -> Mapping[Features, Array]:
        items = self.dataset.items
        return _Given(items.all) if isinstance(items, ArrayItems) else super()._compute()


def are_given(dataset: Dataset) -> bool:
    """Return whether the items of a dataset are rows ``(N, d)`` of features in half or single precision."""
    items = dataset.items
    return isinstance(items, ArrayItems) and items.all.ndim == 2 and items.all.dtype in (np.float16, np.float32)


class _Given(Mapping[Features, Array]):
    def __init__(self, x_N_d: Array) -> None:
        self._x_N_d = x_N_d

    def __getitem__(self, need: Features) -> Array:
        if need not in tuple(self):
            raise KeyError(need)
        return self._unit if need.normalise else readonly(self._x_N_d)

    def __iter__(self) -> Iterator[Features]:
        for encoder in (None, "pixels"):
            for normalise in (True, False):
                yield Features(frame="all", encoder=encoder, normalise=normalise)

    def __len__(self) -> int:
        return 4

    @cached_property
    def _unit(self) -> Array:
        unit_N_d = np.empty(self._x_N_d.shape, np.float32)
        for start in range(0, len(unit_N_d), BLOCK):
            block = slice(start, start + BLOCK)
            unit_N_d[block] = unit_rows(self._x_N_d[block])
            tell("scaling rows", min(start + BLOCK, len(unit_N_d)), len(unit_N_d))
        require_finite(unit_N_d, "features of unit length")
        return readonly(unit_N_d)
