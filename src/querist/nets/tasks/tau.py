"""SimCLR with a temperature that the net says for every image: its own uncertainty, learned without labels."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from querist.nets.contrast import contrast_probabilities, tempered_losses
from querist.nets.share import ALONE, Share
from querist.nets.tasks.base import Load, Outcome, Start, full_precision
from querist.nets.tasks.simclr import SimCLRTask
from querist.nets.tasks.varied import in_order
from querist.nets.twinning import Twinning
from querist.seeds import Seed

TAU = "tau"
"""Name of the statistic of the temperatures."""

WITHIN = 4.0
"""By how much a temperature differs from the given one at most, as a factor either way."""


class TauTask(SimCLRTask):
    """SimCLR whose similarities are divided by a temperature of the anchor, a function of its embedding.

    Args:
        start: what it begins with.
        twinning: how views differ.
        hidden: see `SimCLRTask`.
        width: see there.
        batch_norm: see there.
        temperature: that of an image about which the net says nothing.
        temperatures: see there.
        loss_views: see there; these losses have the one temperature.
    """

    def __init__(
        self,
        start: Start,
        twinning: Twinning,
        *,
        hidden: int | None,
        width: int,
        batch_norm: bool,
        temperature: float,
        temperatures: tuple[float, ...],
        loss_views: int,
    ) -> None:
        super().__init__(
            start, twinning, hidden=hidden, width=width, batch_norm=batch_norm, temperature=temperature,
            temperatures=temperatures, loss_views=loss_views,
        )  # fmt: skip
        self.said = nn.Linear(start.d, 1)

    def tau(self, embedded: Tensor) -> Tensor:
        """Return temperatures ``(b,)`` of embeddings ``(b, d)``."""
        return self.temperature * WITHIN ** self.said(embedded).float().squeeze(1).tanh()

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return the projections of both views, ``(b, width)``, and the temperatures of both, ``(b,)``."""
        embedded = [self.backbone(view) for view in views]
        projected = [self.projector(part) for part in embedded]
        with full_precision(views[0]):
            return *projected, *(self.tau(part.float()) for part in embedded)

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return the loss, and of each image the probability of its other view at every fixed temperature."""
        first, second, *tau = parts
        loss = tempered_losses(first, second, torch.cat(tau)).mean()
        traces = contrast_probabilities(first.detach(), second.detach(), self.temperatures)
        return Outcome(loss, first.detach(), traces)

    def finish(self, load: Load, seed: Seed, share: Share = ALONE) -> Mapping[str, Tensor]:
        """Return what SimCLR keeps, and the temperature of every clean image, ``(n, 1)``."""
        tau = in_order(self, load, lambda x: self.tau(self.backbone(x))[:, None], "temperatures", share)
        return {**super().finish(load, seed, share), TAU: tau}
