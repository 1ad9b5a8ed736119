"""What is trained without labels: a backbone and whatever learns beside it, in steps that a method fills in."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from querist.nets.images import Normalisation
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
    """What one batch gave."""

    loss: Tensor
    """To minimise, a scalar in float32; one that asks for no gradient makes no step."""
    compared: Tensor
    """``(b, k)``: the vectors that the loss compares, or the embeddings. If they are all alike, training collapsed."""
    traces: Mapping[str, Tensor]
    """Statistics of each image of the batch, ``(b,)`` by name; kept per epoch. The same names in every batch."""


class Task(nn.Module, ABC):
    """A backbone in training. The loop calls, in this order:

    `begin` before every epoch, `order` once per epoch, and for every batch `views`, `forward`, and `stepped` after the
    optimiser; `finish` once at the end, in evaluation mode. All state is in parameters and buffers: they are what a
    training that was interrupted continues with, after the last epoch that was finished.

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
    def views(self, rows: Tensor, load: Load, draws: torch.Generator) -> tuple[Tensor, ...]:
        """Return the inputs of a batch, normalised images ``(b, channels, h, w)`` each; no gradient flows here."""

    @abstractmethod
    def forward(self, rows: Tensor, *views: Tensor) -> Outcome:
        """Return what a batch of rows ``(b,)`` gave, in training mode."""

    def constant(self) -> Iterable[nn.Module]:
        """Return the parts whose learning rate stays the highest one, whatever the schedule says."""
        return ()

    def stepped(self) -> None:
        """Follow an update of the parameters, e.g. by a moving average."""

    def finish(self, load: Load, seed: Seed) -> Mapping[str, Tensor]:
        """Return statistics of all images of the pool, ``(n, t)`` by name; in evaluation mode, without gradients."""
        return {}


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Within the block compute in float32, also in a training of mixed precision; hand in ``x.float()``."""
    return torch.autocast(x.device.type, enabled=False)
