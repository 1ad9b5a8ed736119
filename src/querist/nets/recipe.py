"""How long and how a net is trained: settings and the arithmetic of schedules, without torch."""

import math
from dataclasses import dataclass

from querist.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum and a cosine schedule, for a fixed number of updates.

    The number of updates does not depend on the number of labels unless `epochs` is given: otherwise an arm that has
    more labels is also trained longer, and a comparison cannot tell the two apart.

    Attributes:
        updates: optimiser steps of a fit.
        epochs: if given, instead of `updates`: how often every label is seen, whatever the batch.
        batch: images of an update. Batches are always full: with fewer labels an image occurs several times in one,
            cropped and mirrored differently each time.
        lr: the highest learning rate.
        momentum: of the gradient.
        weight_decay: of weights with two or more axes; biases and batch normalisation have none.
        warmup: share of the updates over which the rate rises linearly, before it falls along a cosine to 0.
        label_smoothing: probability that the target spreads over all declared classes.
        crop: how far a random crop may be off, as a share of the shorter side, beyond the border by reflection; 0 none.
        flip: whether half of the images are mirrored left to right. Switch it off for digits, letters and whatever else
            is another thing in the mirror.
    """

    updates: int = 500
    epochs: float | None = None
    batch: int = 32
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    label_smoothing: float = 0.0
    crop: float = 0.125
    flip: bool = True

    def __post_init__(self) -> None:
        _within("updates", self.updates, 1, math.inf)
        _within("batch", self.batch, 2, math.inf, "batch normalisation has no variance of a single image")
        _within("lr", self.lr, 0, math.inf, above=True)
        _within("weight_decay", self.weight_decay, 0, math.inf)
        _within("crop", self.crop, 0, 0.5)
        for name in ("momentum", "warmup", "label_smoothing"):
            _within(name, getattr(self, name), 0, 1, below=True)
        if self.epochs is not None:
            _within("epochs", self.epochs, 0, math.inf, above=True)

    def horizon(self, l: int) -> int:
        """Return the number of updates of a fit on `l` labels: at least 1."""
        return self.updates if self.epochs is None else max(1, math.ceil(self.epochs * l / self.batch))

    def rate(self, update: int, horizon: int) -> float:
        """Return the learning rate of an update, counted from 0: up to `lr`, then down to 0 at the horizon."""
        rising = math.ceil(self.warmup * horizon)
        if update < rising:
            return self.lr * (update + 1) / (rising + 1)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (update - rising) / (horizon - rising)))


def _within(
    name: str, value: float, low: float, high: float, why: str = "", *, above: bool = False, below: bool = False
) -> None:
    if not low <= value <= high or not math.isfinite(value) or (above and value == low) or (below and value == high):
        bounds = f"{'more than' if above else 'at least'} {low}"
        if high < math.inf:
            bounds += f" and {'less than' if below else 'at most'} {high}"
        raise SpecError(f"Expected {name} to be {bounds}, got {value}{why and f': {why}'}.")
