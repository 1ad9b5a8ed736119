"""How a net is trained: all settings of a fit, without torch."""

import math
from dataclasses import dataclass
from typing import Literal

from querist.errors import SpecError
from querist.nets.augmenting import Augmenting
from querist.nets.averaging import Averaging
from querist.nets.bounds import require_within
from querist.nets.steps import Steps


@dataclass(frozen=True, kw_only=True)
class Recipe(Steps, Augmenting, Averaging):
    """Stochastic gradient descent for a fixed number of updates.

    The number of updates does not depend on the number of labels unless `epochs` is given: otherwise an arm that has
    more labels is also trained longer, and a comparison cannot tell the two apart.

    Attributes:
        updates: optimiser steps of a fit.
        epochs: if given, instead of `updates`: how often every label is seen, whatever the batch.
        batch: images of an update. Batches are always full: with fewer labels an image occurs several times in one,
            cropped and mirrored differently each time.
        label_smoothing: probability that the target spreads over all declared classes.
        class_weights: whether each class weighs the same in the loss, however many labels it has; a class without
            labels is left out of the balance.
        batch_norm: ``train``: statistics of the batch in training; ``eval``: those of the checkpoint it starts from;
            ``auto``: ``eval`` where a pre-trained net is tuned on fewer labels than ten batches.
        precision: of training on a graphics card: ``mixed`` (bfloat16 where the chip has it) or ``float32``.
        compile: whether torch compiles the net first: minutes once, then faster on a graphics card.
        dynamics: whether the fit records what it makes of each training label, clean, at the end of every epoch (of
            every few, where an epoch is a few updates): one more pass over them each time.
    """

    updates: int = 500
    epochs: float | None = None
    batch: int = 32
    label_smoothing: float = 0.0
    class_weights: bool = False
    batch_norm: Literal["auto", "train", "eval"] = "auto"
    precision: Literal["mixed", "float32"] = "mixed"
    compile: bool = False
    dynamics: bool = False

    def __post_init__(self) -> None:
        for part in (Steps, Augmenting, Averaging):
            part.__post_init__(self)
        require_within("updates", self.updates, 1, math.inf)
        require_within("batch", self.batch, 2, math.inf, "batch normalisation has no variance of a single image")
        require_within("label_smoothing", self.label_smoothing, 0, 1, below=True)
        if self.precise_bn and self.batch_norm == "eval":
            raise SpecError(
                "precise_bn computes statistics of batch normalisation anew, and batch_norm = 'eval' keeps those of "
                "the checkpoint: set precise_bn = false, or batch_norm = 'train'."
            )
        if self.epochs is not None:
            require_within("epochs", self.epochs, 0, math.inf, above=True)

    def horizon(self, l: int) -> int:
        """Return the number of updates of a fit on `l` labels, weight averaging not counted: at least 1."""
        return self.updates if self.epochs is None else max(1, math.ceil(self.epochs * l / self.batch))
