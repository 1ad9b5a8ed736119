"""What happens at which update of a fit; without torch."""

import math
from typing import NamedTuple

from querist.nets.recipe import Recipe

INTERVAL = 25
"""Fewest updates between two reports of a fit: a report makes a graphics card wait."""


class Plan(NamedTuple):
    """The course of one fit. Updates are counted by how many are done."""

    horizon: int
    """Updates of the schedule."""
    rates: tuple[float, ...]
    """Learning rate of every update, those of weight averaging included."""
    looks: frozenset[int]
    """When the validation set is looked at."""
    snapshots: frozenset[int]
    """When the weights are added to their average."""
    interval: int
    """Updates between two reports: whole epochs, as many as it takes to be worth one."""

    @property
    def total(self) -> int:
        """All updates."""
        return len(self.rates)


def make_plan(recipe: Recipe, l: int) -> Plan:
    """Return the plan of a fit on `l` labels. The number of devices has no part in it: a batch is a batch of all.

    Weight averaging goes on for `recipe.swa` times the horizon and at least as many updates as it takes snapshots, so
    there are always exactly `swa_snapshots` of them, whatever the batch.
    """
    horizon = recipe.horizon(l)
    rates = [recipe.rate(update, horizon) for update in range(horizon)]
    snapshots: frozenset[int] = frozenset()
    if recipe.swa:
        more = max(math.ceil(recipe.swa * horizon), recipe.swa_snapshots)
        rates += [recipe.swa_lr] * more
        snapshots = frozenset(horizon + spread for spread in _evenly(recipe.swa_snapshots, more))
    epoch = math.ceil(l / recipe.batch)
    interval = epoch * math.ceil(INTERVAL / epoch)
    return Plan(horizon, tuple(rates), frozenset(_evenly(recipe.looks, horizon)), snapshots, interval)


def _evenly(count: int, total: int) -> list[int]:
    """Return `count` numbers up to `total`, evenly spread, the last one `total`; fewer if there are not as many."""
    return sorted({math.ceil(total * (k + 1) / count) for k in range(count)})
