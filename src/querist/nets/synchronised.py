"""Batch normalisation over the whole batch of several devices, on CPUs too, where torch has none."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from querist.errors import SpecError

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SynchronisedNorm(_BatchNorm):
    """Batch normalisation whose statistics are those of the rows of all devices, each device weighing by its rows.

    Mean and variance are added up one after the other, for the difference of two large sums has no digits left.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of torch
        """Return normalised rows; gradients flow through the statistics to the rows of all devices."""
        if not self.training:  # as in torch, alone: devices need not score at the same time
            known, bare = (self.running_mean, self.running_var), self.running_mean is None
            return functional.batch_norm(input, *known, self.weight, self.bias, training=bare, eps=self.eps)
        dims = [axis for axis in range(input.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.ndim)]
        count = input.new_tensor(float(input.numel() // input.shape[1]))
        torch.distributed.all_reduce(count)
        mean = cast("Tensor", all_reduce(input.sum(dims))) / count
        centred = input - mean.view(shape)
        variance = cast("Tensor", all_reduce(centred.square().sum(dims))) / count
        self._remember(mean.detach(), variance.detach(), count)
        out = centred * (variance + self.eps).rsqrt().view(shape)
        return out if self.weight is None else out * self.weight.view(shape) + self.bias.view(shape)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics as torch does: the variance without bias, a momentum of None as an average."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1), share)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - the name of torch
        """Take rows of any number of axes."""


def synchronised(net: nn.Module, device: torch.device) -> nn.Module:
    """Return the net with its batch normalisation synchronised; parameters and buffers are the same, names too.

    Raises:
        SpecError: the net has a kind of its own, which has no synchronised form on a CPU.
    """
    if device.type == "cuda":
        return cast("nn.Module", _on_cards(net))
    if isinstance(net, _BatchNorm):
        return _on_cpu(net)
    for name, child in net.named_children():
        setattr(net, name, synchronised(child, device))
    return net


def _on_cards(net: nn.Module) -> Any:
    if any(isinstance(module, _BatchNorm) and type(module) not in PLAIN for module in net.modules()):
        from timm.layers.norm_act import convert_sync_batchnorm  # knows those of timm, which have an activation in them

        return convert_sync_batchnorm(net)
    return nn.SyncBatchNorm.convert_sync_batchnorm(net)


def _on_cpu(norm: _BatchNorm) -> SynchronisedNorm:
    if type(norm) not in PLAIN:
        raise SpecError(
            f"{type(norm).__name__} cannot be synchronised between processes on a CPU: set devices = 1, or take a net "
            "with the batch normalisation of torch."
        )
    other = SynchronisedNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    other.weight, other.bias, other.training = norm.weight, norm.bias, norm.training
    other.running_mean, other.running_var = norm.running_mean, norm.running_var
    other.num_batches_tracked = norm.num_batches_tracked
    return other
