"""Settings of the optimiser and of its learning rate, and the arithmetic of schedules; without torch."""

import math
from dataclasses import dataclass
from typing import Literal

from querist.errors import SpecError
from querist.nets.bounds import require_options, require_within


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How large the steps of a fit are.

    Attributes:
        optimizer: ``sgd``, ``adam``, ``adamw`` (weight decay apart from the gradient) or ``lars``.
        lr: the highest learning rate.
        backbone_lr: that of everything before the head; None for the same. 0 is refused: freeze the backbone instead.
        momentum: of the gradient, for ``sgd`` and ``lars``.
        nesterov: whether the momentum of ``sgd`` looks ahead.
        weight_decay: of weights with two or more axes; biases and batch normalisation have none.
        decay_all: whether biases and batch normalisation decay too, as in most published recipes.
        schedule: how the rate falls after the warm-up: ``cosine``, ``linear`` (both to 0 at the horizon), ``constant``,
            ``multistep`` (times `gamma` at each milestone), ``exponential`` (to `gamma` times `lr` at the horizon).
        milestones: of ``multistep``, as shares of all updates, ascending.
        gamma: factor of ``multistep`` and ``exponential``.
        stretch: the schedule ends at so many times the horizon: above 1 a cosine does not reach 0.
        warmup: share of the updates over which the rate rises linearly.
        clip: largest Euclidean norm of the gradient of an update; None for any.
    """

    optimizer: Literal["sgd", "adam", "adamw", "lars"] = "sgd"
    lr: float = 0.1
    backbone_lr: float | None = None
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    decay_all: bool = False
    schedule: Literal["cosine", "linear", "constant", "multistep", "exponential"] = "cosine"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    stretch: float = 1.0
    warmup: float = 0.1
    clip: float | None = None

    def __post_init__(self) -> None:
        require_options(self)
        require_within("lr", self.lr, 0, math.inf, above=True)
        require_within("weight_decay", self.weight_decay, 0, math.inf)
        require_within("stretch", self.stretch, 1, math.inf)
        require_within("gamma", self.gamma, 0, 1, above=True)
        for name in ("momentum", "warmup"):
            require_within(name, getattr(self, name), 0, 1, below=True)
        for name in ("backbone_lr", "clip"):
            if (value := getattr(self, name)) is not None:
                require_within(name, value, 0, math.inf, above=True)
        if (self.schedule == "multistep") != bool(self.milestones):
            raise SpecError("milestones and schedule = 'multistep' belong together: give both or neither.")
        if list(self.milestones) != sorted({m for m in self.milestones if 0 < m < 1}):
            raise SpecError(f"Expected milestones to ascend between 0 and 1, got {self.milestones}.")

    def rate(self, update: int, horizon: int) -> float:
        """Return the learning rate of an update, counted from 0: up to `lr` along a line, then as the schedule says."""
        rising = math.ceil(self.warmup * horizon)
        if update < rising:
            return self.lr * (update + 1) / (rising + 1)
        # At a horizon of a few updates the warm-up may be all there is; what comes after it is then at the end.
        falling = self.stretch * horizon - rising
        gone = (update - rising) / falling if falling > 0 else 1.0
        match self.schedule:
            case "cosine":
                return self.lr * 0.5 * (1 + math.cos(math.pi * gone))
            case "linear":
                return self.lr * (1 - gone)
            case "exponential":
                return self.lr * self.gamma**gone
            case "multistep":
                return self.lr * self.gamma ** sum(update >= m * horizon for m in self.milestones)
            case "constant":
                return self.lr
