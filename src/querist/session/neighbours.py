"""The source of nearest neighbours: who is close to whom among the frozen features of a session."""

from typing import Any

import numpy as np

from querist.arrays import Array, Ids
from querist.evidence.needs import Need, Neighbourhood, Neighbours
from querist.evidence.provider import Offer
from querist.kernels.neighbours import nearest_neighbours
from querist.session.setting import Setting


def neighbourhood(x_n_d: Array, k: int) -> Neighbourhood:
    """Return the `k` nearest other rows of every row in compressed form, Euclidean distances, nearest first.

    Equally near rows go by position. With `k` rows or fewer, all others are neighbours.
    """
    indices_n_k, distance_n_k = nearest_neighbours(x_n_d, k)
    n, found = indices_n_k.shape
    return Neighbourhood(np.arange(n + 1) * found, indices_n_k.ravel(), distance_n_k.ravel())


class NeighbourSource:
    """Finds neighbours among the features of a setting, and keeps them for as long as the rows stay the same."""

    name = "neighbours"

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._last: dict[Neighbours, tuple[Ids, Neighbourhood]] = {}

    def offers(self, need: Need[Any]) -> Offer | str:
        """Offer neighbours on every frame whose features there are."""
        if not isinstance(need, Neighbours):
            return "it provides Neighbours only."
        if need.frame == "targets":
            return "it knows no targets: neighbours are found among candidates and labelled rows."
        offer = self._setting.offers(need.features)
        if isinstance(offer, str):
            return offer
        return Offer(f"compares all pairs of rows{'' if need.frame == 'all' else ' anew in every round'}")

    def provide(self, need: Neighbours, ids: Ids) -> Neighbourhood:
        """Return the neighbours of `ids` among each other."""
        if need not in self._last or not np.array_equal(ids, self._last[need][0]):
            self._last[need] = ids, neighbourhood(self._setting.provide(need.features, ids), need.k)
        return self._last[need][1]
