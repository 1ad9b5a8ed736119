"""Who answers queries: the protocol shared by simulations and people, and the simulation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from querist.arrays import Bools, Ids, SealedArray, as_ids, some
from querist.errors import DataError, LeakError
from querist.labels.events import QUERY


@dataclass(frozen=True, eq=False)
class Query:
    """Items to label, in pick order.

    Attributes:
        ids: what to label.
        round: which query this is; -1 before the first model.
        purpose: what the labels are for; they are charged under this name.
        reasons: for people, one sentence per id, possibly empty.
    """

    ids: Ids
    round: int = 0
    purpose: str = QUERY
    reasons: tuple[str, ...] = ()


class Oracle(Protocol):
    """Answers queries: a person, a file of labels, a simulation."""

    def answer(self, query: Query) -> Mapping[int, int | None]:
        """Return labels by id; None declines an item; ids may be missing and are asked again."""
        ...


class SimulatedOracle:
    """Reveals true labels of the pool, and of nothing else.

    Args:
        labels: the labels of all items, sealed.
        pool: ids that may be asked for.
    """

    def __init__(self, labels: SealedArray, pool: Ids) -> None:
        self._labels = labels.unseal()
        self._allowed = np.zeros(len(labels), dtype=bool)
        self._allowed[pool] = True

    def answer(self, query: Query) -> Mapping[int, int | None]:
        """Return the true labels.

        Raises:
            LeakError: an id outside the pool, e.g. of the test set.
            DataError: ids that repeat or that no item has, or an item whose true label is unknown.
        """
        ids = as_ids(query.ids, len(self._allowed), what="ids asked for")
        if not self._allowed[ids].all():
            raise LeakError(f"labels outside the pool were asked for: ids {some(ids[~self._allowed[ids]])}.")
        require_labelled(ids, self._labels[ids] >= 0)
        return dict(zip(ids.tolist(), self._labels[ids].tolist(), strict=True))


def require_labelled(ids: Ids, known: Bools) -> None:
    """Raise `DataError` naming the ids, all of them to be simulated, whose true label is not known."""
    if not known.all():
        raise DataError(
            f"{int((~known).sum())} of {len(ids)} items have no label, ids {some(ids[~known])}. A simulation needs a "
            "label for every item of its pool: move unlabelled items to the split 'left_out'."
        )
