"""Optimisers of a recipe: groups of parameters with their rates and decays, and LARS, which torch lacks."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn

from querist.errors import SpecError
from querist.nets.steps import Steps

TRUST, EPSILON = 1e-3, 1e-8
"""Of LARS: the share of a layer's norm that a step of rate 1 has, as published, and what keeps it finite."""


def groups(net: nn.Module, head: nn.Module, steps: Steps) -> list[dict[str, Any]]:
    """Return the trainable parameters in groups of one rate and one decay; a group without parameters is left out.

    Who belongs to the head is settled by identity, not by order or name. Parameters that ask for no gradient are in no
    group.

    Args:
        net: whose parameters are trained.
        head: the part of it that has the rate of the recipe; everything else has `backbone_lr`, if that is given.
        steps: the settings.

    Returns:
        dictionaries for an optimiser: ``params``, ``weight_decay``, and ``scale``, the rate as a share of `steps.lr`.
    """
    inner = {id(p) for p in head.parameters()}
    slow = 1.0 if steps.backbone_lr is None else steps.backbone_lr / steps.lr
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    # Weights that decay come first, so that a net without special cases always has the same two groups.
    for decays in (True, False):
        for parameter in net.parameters():
            if parameter.requires_grad and (steps.decay_all or parameter.ndim > 1) == decays:
                scale = 1.0 if id(parameter) in inner else slow
                found.setdefault((scale, steps.weight_decay if decays else 0.0), []).append(parameter)
    if not found:
        raise SpecError("no parameter of the net asks for a gradient, so there is nothing to train: unfreeze its head.")
    return [{"params": some, "weight_decay": decay, "scale": scale} for (scale, decay), some in found.items()]


def make_optimiser(parts: list[dict[str, Any]], steps: Steps, fused: bool) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe over groups of parameters; `set_rate` sets its rates before every step.

    Weight decay is part of the gradient, as published, except for ``adamw``, where it is apart from it.

    Args:
        parts: from `groups`.
        steps: the settings.
        fused: whether one kernel does a step, on devices that have it; ``lars`` has none.
    """
    match steps.optimizer:
        case "sgd":
            nesterov = steps.nesterov and steps.momentum > 0
            return torch.optim.SGD(parts, lr=steps.lr, momentum=steps.momentum, nesterov=nesterov, fused=fused)
        case "adam":
            return torch.optim.Adam(parts, lr=steps.lr, fused=fused)
        case "adamw":
            return torch.optim.AdamW(parts, lr=steps.lr, fused=fused)
        case "lars":
            return LARS(parts, lr=steps.lr, momentum=steps.momentum)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def memory(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimiser remembers, as tensors by place and name, e.g. ``"3.momentum_buffer"``."""
    state = optimizer.state_dict()["state"]
    return {f"{place}.{name}": value for place, values in state.items() for name, value in values.items()}


def remember(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Make an optimiser of the same parameters remember what `memory` returned, bit for bit."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        place, _, name = key.partition(".")
        owner = parameters[int(place)]
        # Fused kernels walk through memory, so a momentum has to lie there as its weight does.
        state.setdefault(int(place), {})[name] = like(owner, value) if value.shape == owner.shape else value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


@torch.no_grad()
def like(own: Tensor, value: Tensor) -> Tensor:
    """Return a copy of a value on the device and in the memory format of a tensor."""
    return torch.empty_like(own, dtype=value.dtype).copy_(value)


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling: every layer steps in proportion to its own norm.

    ``v <- m v + q (g + w_d p)`` and ``p <- p - lr v``, with ``q = TRUST |p| / (|g| + w_d |p|)`` for parameters with two
    axes or more, and 1 for biases and batch normalisation, or where a norm is 0. The rate stands outside of the
    momentum, as in the other optimisers here, so a schedule means the same to all of them.

    You, Gitman & Ginsburg, arXiv 1708.03888, 2017.

    Args:
        params: groups of parameters.
        lr: learning rate.
        momentum: of the scaled gradient.
        weight_decay: where a group has none of its own.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step; a closure computes loss and gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                slope = scaled(parameter, parameter.grad, group["weight_decay"])
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(slope)
                parameter.sub_(velocity, alpha=group["lr"])
        return loss


def scaled(parameter: Tensor, gradient: Tensor, decay: float) -> Tensor:
    """Return the gradient of LARS: with the decay, and in the scale of the layer; no value leaves the device."""
    slope = gradient.add(parameter, alpha=decay)
    if parameter.ndim <= 1:
        return slope
    size, steep = parameter.norm(), gradient.norm()
    ratio = TRUST * size / (steep + decay * size + EPSILON)
    return slope * torch.where((size > 0) & (steep > 0), ratio, torch.ones_like(ratio))
