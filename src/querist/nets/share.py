"""What one of several devices has of a batch: its rows, random numbers for them, and the rows of all devices."""

from typing import Any, NamedTuple, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

CPU = torch.device("cpu")


class Share(NamedTuple):
    """The part of one device in what all of them do together; by default of the only one, which has all of it.

    Row i of whatever is shared belongs to device ``i modulo devices``, so shares differ by a row at most.
    """

    rank: int = 0
    """Which device this is."""
    devices: int = 1
    """How many there are."""
    device: torch.device = CPU
    """Where they exchange rows."""

    def own(self, rows: Tensor) -> Tensor:
        """Return the rows ``(b, ...)`` of this device out of ``(n, ...)``."""
        return rows[self.rank :: self.devices]

    def whole(self, own: Tensor, n: int) -> Tensor:
        """Return the rows ``(n, ...)`` of all devices in their order; every one of them has to ask.

        They are the same to the last bit on all devices. What every device computes from them, it computes of the whole
        batch, as one device alone would: a loss of all rows has its gradient in the rows of each device, and the mean
        of those over the devices, which is what is made of gradients, is the gradient of one device.

        Args:
            own: rows ``(b, ...)`` of this device, of floating point.
            n: rows of all devices.
        """
        return own if self.devices == 1 else cast("Tensor", _Whole.apply(own, self, n))


ALONE = Share()
"""That of the only device."""


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, share: Share, n: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.share = share
        # Shares need not be equal, as gathering wants them; and a sum with zeros has the digits of what is not zero.
        whole = torch.zeros(n, *own.shape[1:], dtype=own.dtype, device=share.device)
        share.own(whole).copy_(own)
        torch.distributed.all_reduce(whole)
        return whole.to(own.device)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        # Devices average the gradients of parameters, and those of the rows of each are to be added: hence times their
        # number.
        return ctx.share.own(slopes[0]) * ctx.share.devices, None, None


def share_of(fabric: Fabric) -> Share:
    """Return the part of the device that this process is on."""
    return Share(fabric.global_rank, fabric.world_size, fabric.device)


class Draws:
    """Random numbers for the rows of a batch that one device has.

    They are drawn for all rows of the batch, so what becomes of an image does not depend on how many devices there are.

    Args:
        source: on the CPU, so that numbers are the same for every device; all of them have it in one state.
        n: rows of all devices.
        share: which of them this device has.
    """

    def __init__(self, source: torch.Generator, n: int, share: Share = ALONE) -> None:
        self.source, self.n, self.share = source, n, share

    def uniform(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a number between 0 and 1 for each row, ``(b,)``."""
        return self.share.own(torch.rand(self.n, generator=self.source, dtype=dtype))

    def normal(self, k: int) -> Tensor:
        """Return k numbers of the standard normal distribution for each row, ``(b, k)``."""
        return self.share.own(torch.randn(self.n, k, generator=self.source))

    def below(self, high: int) -> Tensor:
        """Return one of the integers 0 to ``high - 1`` for each row, ``(b,)``."""
        return self.share.own(torch.randint(high, (self.n,), generator=self.source))
