"""The training loop: small steps in the order they happen, each of which a subclass may replace."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from querist.arrays import Labels
from querist.errors import FitError
from querist.nets.images import Augmentation, Images, Normalisation
from querist.nets.net import Net
from querist.nets.recipe import Recipe
from querist.nets.running import generator
from querist.progress import tell
from querist.seeds import Seed

LOOK = 25
"""Updates between two looks at the loss; looking at each would make a graphics card wait."""


class Trained(NamedTuple):
    """What there is to say about a finished fit."""

    losses: Tensor
    """``(updates,)`` training loss of every update."""
    rates: list[float]
    """Learning rate of every update."""


class Trainer:
    """Trains a net on labelled images.

    Args:
        recipe: how long and how.
        fabric: where.
        normalise: applied to every batch after the augmentation.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric, normalise: Normalisation) -> None:
        self.recipe, self.fabric, self.normalise = recipe, fabric, normalise

    def fit(self, net: Net, images: Images, labels: Labels, seed: Seed) -> Trained:
        """Train `net` in place, on the device of the fabric, and leave it in evaluation mode.

        Order and augmentation depend on `seed` alone; initial weights and dropout masks come from torch's global
        generator, so call it under `running.reproducible`.

        Args:
            net: with the weights to start from.
            images: ``(l, h, w, channels)``, at least one.
            labels: ``(l,)`` class numbers.
            seed: of the order and the augmentation.

        Raises:
            FitError: the loss is not finite.
        """
        recipe, horizon = self.recipe, self.recipe.horizon(len(labels))
        device = self.fabric.device
        net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        module, optimizer = self.fabric.setup(net, self.optimizer(net))
        draws = generator(seed.child("augmentation"))
        augment = Augmentation(images, recipe.crop, recipe.flip, draws, device)
        y_l = torch.tensor(labels, device=device)
        losses = torch.zeros(horizon, device=device)
        rates = [recipe.rate(update, horizon) for update in range(horizon)]
        module.train()
        for update, rows in zip(range(horizon), self.batches(len(labels), seed), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rates[update]
            optimizer.zero_grad(set_to_none=True)
            logits = module(self.normalise(augment(rows)))
            loss = self.loss(logits, y_l[rows.to(device)])
            self.fabric.backward(loss)
            optimizer.step()
            losses[update] = loss.detach()
            if (update + 1) % LOOK == 0 or update + 1 == horizon:
                self.look(losses[: update + 1], rates)
                tell("training", update + 1, horizon)
        net.eval()
        return Trained(losses.cpu(), rates)

    def batches(self, l: int, seed: Seed) -> Iterator[Tensor]:
        """Yield rows for ever: one permutation of all labels after another, cut into full batches.

        No batch is short, so one label fills a batch as a thousand do, and batch normalisation never meets a single
        row; up to the last batch every label has been seen equally often, give or take one.
        """
        draws, batch = generator(seed.child("order")), self.recipe.batch
        waiting = torch.empty(0, dtype=torch.int64)
        while True:
            while len(waiting) < batch:
                waiting = torch.cat([waiting, torch.randperm(l, generator=draws)])
            yield waiting[:batch]
            waiting = waiting[batch:]

    def optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser; its rate is set at every update."""
        weights = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
        others = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": self.recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        lr, momentum = self.recipe.lr, self.recipe.momentum
        fused = self.fabric.device.type in ("cpu", "cuda")
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=fused)

    def loss(self, logits: Tensor, y_b: Tensor) -> Tensor:
        """Return the mean cross-entropy, in float32 whatever the precision of the net."""
        return functional.cross_entropy(logits.float(), y_b, label_smoothing=self.recipe.label_smoothing)

    def look(self, losses: Tensor, rates: list[float]) -> None:
        """Raise `FitError` if a loss so far is not finite."""
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            first = int(bad[0, 0])
            raise FitError(
                f"the training loss is {float(losses[first])} at update {first + 1} of {len(rates)}, at learning rate "
                f"{rates[first]:.3g}. Lower lr (now {self.recipe.lr:g}), or raise warmup (now {self.recipe.warmup:g})."
            )
