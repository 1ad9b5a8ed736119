"""MoCo in torch: tell the key of an image, made by a slow copy of the net, from a queue of earlier keys."""

from copy import deepcopy

import torch
from lightly.loss.ntx_ent_loss import NTXentLoss
from lightly.models.modules.heads import MoCoProjectionHead
from torch import Tensor, nn

from querist.nets.contrast import contrast_probabilities
from querist.nets.tasks.base import Outcome, Start
from querist.nets.twinning import Twinning
from querist.nets.twins import TwinTask


class MoCoTask(TwinTask):
    """Backbone and projector for queries, a moving average of both for keys, and a queue of keys.

    Args:
        start: what it begins with.
        twinning: how views differ.
        hidden: width of the projector's hidden layer; None for that of the embedding.
        width: of what is compared.
        temperature: of the softmax.
        queue: keys that are kept as negatives.
        inertia: share of the moving average that stays at every update.
        temperatures: those at which probabilities per image are kept.
    """

    def __init__(
        self,
        start: Start,
        twinning: Twinning,
        *,
        hidden: int | None,
        width: int,
        temperature: float,
        queue: int,
        inertia: float,
        temperatures: tuple[float, ...],
    ) -> None:
        super().__init__(start, twinning)
        self.projector = MoCoProjectionHead(start.d, hidden or start.d, width)
        self.slow: nn.Module = deepcopy(nn.Sequential(self.backbone, self.projector)).requires_grad_(False)
        self.criterion = NTXentLoss(temperature, memory_bank_size=(queue, width))
        self.inertia, self.temperatures = inertia, temperatures

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return queries and keys, ``(b, width)``."""
        query = self.projector(self.backbone(views[0]))
        with torch.no_grad():
            return query, self.slow(views[1])

    def outcome(self, rows: Tensor, *parts: Tensor) -> Outcome:
        """Return the loss of queries against their keys and the queue; probabilities are among the batch alone."""
        query, key = parts
        loss = self.criterion(query, key)  # puts the keys into the queue
        return Outcome(loss, query.detach(), contrast_probabilities(query.detach(), key, self.temperatures))

    @torch.no_grad()
    def stepped(self) -> None:
        """Let the slow copy follow; statistics of its batch normalisation are its own."""
        quick = [*self.backbone.parameters(), *self.projector.parameters()]
        for follower, leader in zip(self.slow.parameters(), quick, strict=True):
            follower.lerp_(leader, 1 - self.inertia)
