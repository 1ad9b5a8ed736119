"""Weights of a net beside those it has: copies, averages, and batch statistics computed anew."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

Weights: TypeAlias = dict[str, Tensor]
"""Parameters and buffers by name."""


def copied(net: nn.Module) -> Weights:
    """Return the weights as they are now; training on changes the net and not these."""
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


@torch.no_grad()
def put(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set the weights that are named; optimisers and wrappers keep their hold on the tensors."""
    own = net.state_dict()
    for name, value in weights.items():
        own[name].copy_(value)


@contextmanager
def borrowed(net: nn.Module) -> Iterator[None]:
    """Give the weights back as they were when the body ends, whatever it puts into the net."""
    before = copied(net)
    try:
        yield
    finally:
        put(net, before)


class Average:
    """A running average of the weights of a net, kept on its device.

    Parameters and statistics of batch normalisation are averaged. Counters have no average: whoever puts an average
    into a net leaves them as they are.

    Attributes:
        values: the average.
        count: how many weights are in it.
    """

    def __init__(self, net: nn.Module) -> None:
        self.values = {name: value for name, value in copied(net).items() if value.is_floating_point()}
        self.count = 0

    def add_equal(self, net: nn.Module) -> None:
        """Add the weights of now with the same share as each that was added before: ``(n a + w) / (n + 1)``."""
        self._add(net, 1 / (self.count + 1))

    def add_moving(self, net: nn.Module, decay: float) -> None:
        """Let the average move: ``d a + (1 - d) w``, with ``d = min(decay, (1 + n) / (10 + n))``.

        The second term lets go of the weights it starts from. Without it 0.999 to the power of a few hundred updates is
        the share that random weights keep.
        """
        self._add(net, 1 - min(decay, (1 + self.count) / (10 + self.count)))

    @torch.no_grad()
    def _add(self, net: nn.Module, share: float) -> None:
        now = net.state_dict()
        values, added = list(self.values.values()), [now[name] for name in self.values]
        torch._foreach_lerp_(values, added, share)  # pyright: ignore[reportPrivateImportUsage] - as torch itself does
        self.count += 1


def set_training(net: nn.Module, batch_norm: bool) -> None:
    """Set the modes of training: what is trained trains, what is frozen stays as for scoring.

    Args:
        net: a part of it whose parameters all ask for no gradient keeps its batch statistics and has no dropout.
        batch_norm: whether batch normalisation that is not frozen uses, and collects, statistics of the batch.
    """
    parameters = list(net.parameters())
    frozen = bool(parameters) and not any(p.requires_grad for p in parameters)
    net.training = not frozen and (batch_norm or not isinstance(net, _BatchNorm))
    for child in net.children():
        if frozen:
            child.eval()
        else:
            set_training(child, batch_norm)


@torch.no_grad()
def renew_statistics(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the statistics of batch normalisation by averages over batches under the weights of now.

    Layers that are frozen keep theirs. Dropout rests. The net is in evaluation mode afterwards.

    Wu & Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, 2021.

    Args:
        net: whose buffers change.
        batches: inputs, each of as many images as a batch of training.
    """
    set_training(net, batch_norm=True)
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    net.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to ask for an average in which all batches weigh the same
    if norms:
        for x in batches:
            net(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()
