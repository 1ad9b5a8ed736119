"""What is trained without labels: a backbone and whatever learns beside it, in steps that a method fills in."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from querist.nets.images import Normalisation
from querist.nets.share import ALONE, Draws, Share
from querist.seeds import Seed

Load: TypeAlias = Callable[[Tensor], Tensor]
"""Rows of the pool ``(b,)`` to images ``(b, channels, h, w)`` uint8 on the device of the net."""


class Start(NamedTuple):
    """What a task begins with."""

    backbone: nn.Module
    """Images ``(b, channels, h, w)`` to embeddings ``(b, d)``, with random weights."""
    d: int
    """Width of the embedding."""
    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    n: int
    """Images of the pool."""
    normalise: Normalisation
    """The transform of every image, after any distortion."""
    c: int = 0
    """Declared classes."""


class Outcome(NamedTuple):
    """What one batch gave, all of it, whatever part of it this device has."""

    loss: Tensor
    """To minimise, a scalar in float32; one that asks for no gradient makes no step."""
    compared: Tensor
    """``(b, k)``: the vectors that the loss compares, or the embeddings. If they are all alike, training collapsed."""
    traces: Mapping[str, Tensor]
    """Statistics of each image of the batch, ``(b,)`` by name; kept per epoch. The same names in every batch."""


class Task(nn.Module, ABC):
    """A backbone in training. The loop calls, in this order:

    `begin` before every epoch, `order` once per epoch, and for every batch `views`, `forward`, `outcome`, and `stepped`
    after the optimiser; `measured` after every epoch; `finish` once at the end, in evaluation mode. All state is in
    parameters and buffers: they are what a training that was interrupted continues with, after the last epoch that was
    finished.

    Several devices share a batch between `views` and `forward`, which see the rows of one device. `outcome` sees those
    of all of them again. So whatever compares rows or counts them belongs there, and what has parameters in `forward`.
    All else is done by every device in the same way.

    Args:
        start: what it begins with.
    """

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.backbone, self.normalise, self.n = start.backbone, start.normalise, start.n

    def begin(self, epoch: int, features: Callable[[], Tensor], draws: torch.Generator) -> Iterable[nn.Parameter]:
        """Prepare an epoch, counted from 0; return the parameters that were drawn anew, to forget their momentum.

        Args:
            epoch: which.
            features: returns the embeddings ``(n, d)`` of the clean images of the pool, on the CPU; one pass.
            draws: source of randomness, on the CPU.
        """
        return ()

    def order(self, draws: torch.Generator) -> Tensor:
        """Return the rows of an epoch in order, ``(m,)``: by default every row once."""
        return torch.randperm(self.n, generator=draws)

    @abstractmethod
    def views(self, rows: Tensor, load: Load, draws: Draws) -> tuple[Tensor, ...]:
        """Return the inputs of rows ``(b,)``, normalised images ``(b, channels, h, w)`` each; no gradient flows here.

        Args:
            rows: on the CPU.
            load: their images.
            draws: source of randomness for each of them.
        """

    @abstractmethod
    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return what the net makes of the inputs, in training mode: floats, ``(b, ...)`` each, a row for each row."""

    @abstractmethod
    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return what a whole batch of rows ``(n,)`` gave, from what `forward` made of it, in float32; no parameters.

        Args:
            rows: on the device of the net.
            parts: ``(n, ...)`` each, in the order of `forward`.
        """

    def measured(self) -> Mapping[str, float]:
        """Return what there is to say of the epoch that ends, beside the loss, by name."""
        return {}

    def constant(self) -> Iterable[nn.Module]:
        """Return the parts whose learning rate stays the highest one, whatever the schedule says."""
        return ()

    def stepped(self) -> None:
        """Follow an update of the parameters, e.g. by a moving average."""

    def finish(self, load: Load, seed: Seed, share: Share = ALONE) -> Mapping[str, Tensor]:
        """Return statistics of all images of the pool, ``(n, t)`` by name; in evaluation mode, without gradients.

        Args:
            load: their images.
            seed: of what is drawn.
            share: which part of the work is that of this device; all of them return the same.
        """
        return {}


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Within the block compute in float32, also in a training of mixed precision; hand in ``x.float()``."""
    return torch.autocast(x.device.type, enabled=False)
