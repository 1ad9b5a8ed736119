"""Settings of how long a fit is, and of how many images an update sees; without torch."""

import math
from dataclasses import dataclass

from querist.nets.bounds import require_within


@dataclass(frozen=True, kw_only=True)
class Length:
    """How many updates a fit has.

    The number does not depend on the number of labels unless `epochs` is given: otherwise an arm that has more labels
    is also trained longer, and a comparison cannot tell the two apart.

    Attributes:
        updates: optimiser steps of a fit.
        epochs: if given, instead of `updates`: how often every label is seen, whatever the batch.
        batch: images of an update. Batches are always full: with fewer labels an image occurs several times in one,
            cropped and mirrored differently each time.
    """

    updates: int = 500
    epochs: float | None = None
    batch: int = 32

    def __post_init__(self) -> None:
        require_within("updates", self.updates, 1, math.inf)
        require_within("batch", self.batch, 2, math.inf, "batch normalisation has no variance of a single image")
        if self.epochs is not None:
            require_within("epochs", self.epochs, 0, math.inf, above=True)

    def horizon(self, l: int) -> int:
        """Return the number of updates of a fit on `l` labels, weight averaging not counted: at least 1."""
        return self.updates if self.epochs is None else max(1, math.ceil(self.epochs * l / self.batch))
