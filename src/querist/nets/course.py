"""What a fit has got to: weights, optimiser, averages and records, and how they become a checkpoint and come back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from querist.nets.checkpoints import Checkpoint
from querist.nets.dynamics import Dynamics, Judged
from querist.nets.net import Net
from querist.nets.optimisers import like, memory, remember
from querist.nets.weights import Average, Weights, copied, put


class Look(NamedTuple):
    """What the validation set said."""

    update: int
    """How many updates were done."""
    accuracy: float
    """Share of it that is right."""
    loss: float
    """Mean of ``-log p`` of its labels."""


class Best(NamedTuple):
    """The best weights so far, copied."""

    weights: Weights
    look: Look


@dataclass
class Course:
    """The state of one fit.

    Attributes:
        net: what is trained.
        optimizer: as it was made, not as a fabric wraps it.
        fabric: holds the scale of the loss, where the precision needs one.
        scores: ``(updates, 2)`` loss and share of right rows of every update, on the device.
        average: of the weights, if there is to be one.
        done: updates so far.
        best: by the validation set.
        looks: at the validation set so far.
        judged: the training labels at the end of each epoch so far, if they are recorded.
    """

    net: Net
    optimizer: torch.optim.Optimizer
    fabric: Fabric
    scores: Tensor
    average: Average | None
    done: int = 0
    best: Best | None = None
    looks: list[Look] = field(default_factory=list)
    judged: list[tuple[int, Judged]] = field(default_factory=list)

    @property
    def dynamics(self) -> Dynamics | None:
        """The record of the training labels."""
        if not self.judged:
            return None
        return Dynamics(
            np.array([update for update, _ in self.judged], dtype=np.int64),
            np.stack([judged.p_true for _, judged in self.judged]),
            np.stack([judged.correct for _, judged in self.judged]),
        )

    def consider(self, look: Look, net: Net) -> None:
        """Copy the weights of a net if they are the best so far: by accuracy, then by loss; the first of equals."""
        if self.best is None or (look.accuracy, -look.loss) > (self.best.look.accuracy, -self.best.look.loss):
            self.best = Best(copied(net), look)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything with numbers in it, by name."""
        found = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        found |= {f"optimizer.{name}": value for name, value in memory(self.optimizer).items()}
        if self.average:
            found |= {f"average.{name}": value for name, value in self.average.values.items()}
        if self.best:
            found |= {f"best.{name}": value for name, value in self.best.weights.items()}
        if (dynamics := self.dynamics) is not None:
            found["p_true"] = torch.from_numpy(dynamics.p_true)
            found["correct"] = torch.from_numpy(dynamics.correct)
        return found | {"scores": self.scores}

    def card(self) -> dict[str, Any]:
        """Return the rest, as JSON has it."""
        return {
            "done": self.done,
            "averaged": self.average.count if self.average else 0,
            "best": list(self.best.look) if self.best else None,
            "looks": [list(look) for look in self.looks],
            "judged": [[update, judged.loss] for update, judged in self.judged],
            "precision": self.fabric.strategy.precision.state_dict(),
        }

    def restore(self, state: Checkpoint) -> None:
        """Go back to what `tensors` and `card` said, bit for bit."""
        tensors, card = state
        put(self.net, _named(tensors, "net."))
        remember(self.optimizer, _named(tensors, "optimizer."))
        self.scores.copy_(tensors["scores"])
        self.fabric.strategy.precision.load_state_dict(card["precision"])
        if self.average:
            for name, value in _named(tensors, "average.").items():
                self.average.values[name].copy_(value)
            self.average.count = card["averaged"]
        self.done = card["done"]
        self.looks = [Look(*look) for look in card["looks"]]
        if card["best"]:
            own = self.net.state_dict()
            best = _named(tensors, "best.")
            self.best = Best({name: like(own[name], best[name]) for name in own}, Look(*card["best"]))
        self.judged = [
            (update, Judged(tensors["p_true"][epoch].numpy(), tensors["correct"][epoch].numpy(), loss))
            for epoch, (update, loss) in enumerate(card["judged"])
        ]


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
