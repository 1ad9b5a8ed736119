"""SimCLR in torch: tell the other view of an image from all views of the other images of a batch."""

from collections.abc import Mapping

import torch
from lightly.loss.ntx_ent_loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor

from querist.nets.contrast import ENOUGH, contrast_losses, contrast_probabilities
from querist.nets.running import generator
from querist.nets.share import ALONE, Draws, Share
from querist.nets.tasks.base import Load, Outcome, Start
from querist.nets.twinning import Twinning
from querist.nets.twins import TwinTask
from querist.progress import tell
from querist.seeds import Seed

LOSS = "simclr_loss"
"""Name of the statistic that says how hard an image is after all."""


class SimCLRTask(TwinTask):
    """Backbone and projector; NT-Xent in both directions over the 2b views of a batch.

    Args:
        start: what it begins with.
        twinning: how views differ.
        hidden: width of the projector's hidden layer; None for that of the embedding.
        width: of what is compared.
        batch_norm: whether the projector normalises its layers by the batch.
        temperature: of the softmax.
        temperatures: those at which probabilities per image are kept.
        loss_views: pairs of views over which the loss of every image is averaged at the end; 0 for no such loss.
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
        super().__init__(start, twinning)
        self.projector = SimCLRProjectionHead(start.d, hidden or start.d, width, batch_norm=batch_norm)
        self.criterion = NTXentLoss(temperature)
        self.temperature, self.temperatures, self.loss_views = temperature, temperatures, loss_views

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return the projections of both views, ``(b, width)``."""
        return tuple(self.projector(self.backbone(view)) for view in views)

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return NT-Xent, and of each image the probability of its other view at every temperature."""
        first, second = parts
        traces = contrast_probabilities(first.detach(), second.detach(), self.temperatures)
        return Outcome(self.criterion(first, second), first.detach(), traces)

    def finish(self, load: Load, seed: Seed, share: Share = ALONE) -> Mapping[str, Tensor]:
        """Return the loss of every image, ``(n, 1)``, against real negatives: `ENOUGH` images or all there are.

        The mean over `loss_views` pairs of views in float64. In evaluation mode, so that an image's neighbours in a
        batch are its negatives and nothing else. Devices share the pairs.
        """
        if not self.loss_views:
            return {}
        own = share.own(torch.arange(self.loss_views)).tolist()
        losses = torch.zeros(len(own), self.n, dtype=torch.float64)
        for done, v in enumerate(own):
            draws = generator(seed.child("view", v))
            order = torch.randperm(self.n, generator=draws)
            for rows in torch.tensor_split(order, max(1, self.n // ENOUGH)):
                first, second, *_ = self(*self.views(rows, load, Draws(draws, len(rows))))
                losses[done, rows] = contrast_losses(first, second, self.temperature).cpu()
            tell("losses per image", done + 1, len(own))
        return {LOSS: share.whole(losses, self.loss_views).mean(dim=0)[:, None]}
