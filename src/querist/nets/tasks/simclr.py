"""SimCLR in torch: tell the other view of an image from all views of the other images of a batch."""

from collections.abc import Mapping

import torch
from lightly.loss.ntx_ent_loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor

from querist.nets.contrast import ENOUGH, contrast_losses, contrast_probabilities
from querist.nets.running import generator
from querist.nets.tasks.base import Load, Outcome, Start, full_precision
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

    def forward(self, rows: Tensor, *views: Tensor) -> Outcome:
        """Return NT-Xent, and of each image the probability of its other view at every temperature."""
        first, second = (self.projector(self.backbone(view)) for view in views)
        with full_precision(first):
            first, second = first.float(), second.float()
            loss = self.criterion(first, second)
            with torch.no_grad():
                traces = contrast_probabilities(first.detach(), second.detach(), self.temperatures)
        return Outcome(loss, first.detach(), traces)

    def finish(self, load: Load, seed: Seed) -> Mapping[str, Tensor]:
        """Return the loss of every image, ``(n, 1)``, against real negatives: `ENOUGH` images or all there are.

        The mean over `loss_views` pairs of views in float64. In evaluation mode, so that an image's neighbours in a
        batch are its negatives and nothing else.
        """
        if not self.loss_views:
            return {}
        total = torch.zeros(self.n, dtype=torch.float64)
        for v in range(self.loss_views):
            draws = generator(seed.child("view", v))
            order = torch.randperm(self.n, generator=draws)
            for rows in torch.tensor_split(order, max(1, self.n // ENOUGH)):
                first, second = (self.projector(self.backbone(view)) for view in self.views(rows, load, draws))
                total[rows] += contrast_losses(first, second, self.temperature).cpu()
            tell("losses per image", v + 1, self.loss_views)
        return {LOSS: (total / self.loss_views)[:, None]}
