"""Rotation in torch: tell by how many quarter turns an image was rotated."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from querist.errors import DataError
from querist.nets.augmenting import Augmenting
from querist.nets.share import ALONE, Draws, Share
from querist.nets.tasks.base import Load, Outcome, Start
from querist.nets.tasks.varied import VariedTask, in_order
from querist.seeds import Seed

LOSS = "rotation_loss"
"""Name of the statistic that says how hard the rotations of an image are to tell."""

TURNS = 4


class RotationTask(VariedTask):
    """Backbone and a linear head with four outputs; every batch has all four rotations of each of its images.

    Args:
        start: what it begins with.
        augmenting: what happens to an image before it is rotated.

    Raises:
        DataError: images are not square: after a quarter turn they would have another shape.
    """

    def __init__(self, start: Start, augmenting: Augmenting) -> None:
        super().__init__(start)
        if start.shape[1] != start.shape[2]:
            raise DataError(
                f"Expected square images to rotate, got {start.shape[1]} x {start.shape[2]}. Crop or resize them, or "
                "take another method."
            )
        self.head, self.augmenting = nn.Linear(start.d, TURNS), augmenting

    def views(self, rows: Tensor, load: Load, draws: Draws) -> tuple[Tensor, ...]:
        """Return the batch rotated by no, one, two and three quarter turns, ``(4b, channels, h, w)``."""
        return (rotations(self.vary(rows, load, self.augmenting, draws)),)

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return embeddings ``(b, 4, d)`` and logits ``(b, 4, 4)`` of the rotations of each image."""
        embedded = self.backbone(views[0])
        return tuple(x.unflatten(0, (TURNS, -1)).transpose(0, 1) for x in (embedded.detach(), self.head(embedded)))

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return the cross-entropy of telling the rotations."""
        embedded, logits = (x.transpose(0, 1).flatten(0, 1) for x in parts)
        return Outcome(rotation_losses(logits).mean(), embedded, {})

    def finish(self, load: Load, seed: Seed, share: Share = ALONE) -> Mapping[str, Tensor]:
        """Return the mean cross-entropy over the four rotations of every clean image, ``(n, 1)``."""

        def measure(x: Tensor) -> Tensor:
            return rotation_losses(self.head(self.backbone(rotations(x))).double())[:, None]

        return {LOSS: in_order(self, load, measure, "losses per image", share)}


def rotations(x: Tensor) -> Tensor:
    """Return square images ``(b, channels, h, h)`` rotated by 0, 90, 180 and 270 degrees, ``(4b, channels, h, h)``."""
    return torch.cat([torch.rot90(x, turns, dims=(2, 3)) for turns in range(TURNS)])


def rotation_losses(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy over the four rotations of each image, ``(b,)``; log 4 for equal logits.

    Args:
        logits: ``(4b, 4)``, of all images without a turn, of all with one, and so on.
    """
    truth = torch.arange(TURNS, device=logits.device).repeat_interleave(len(logits) // TURNS)
    return functional.cross_entropy(logits, truth, reduction="none").view(TURNS, -1).mean(dim=0)
