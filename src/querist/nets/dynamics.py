"""What a net says of labelled images while it is trained: its accuracy on them, and the course of each one."""

from typing import NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from querist.arrays import Array, Bools, Ids, Labels
from querist.nets.images import Images, Normalisation
from querist.nets.net import Net
from querist.nets.scoring import BLOCK, LARGE_BLOCK


class Examples(NamedTuple):
    """Labelled images: what a net is trained or looked at on."""

    images: Images
    """``(l, h, w, channels)`` uint8, one channel or three."""
    labels: Labels
    """``(l,)`` class numbers."""


class Judged(NamedTuple):
    """What a net says of labelled images."""

    p_true: Array
    """``(l,)`` float32 probability of the label."""
    correct: Bools
    """``(l,)`` whether the label is the most likely class."""
    loss: float
    """Mean of ``-log p_true``."""

    @property
    def accuracy(self) -> float:
        """Share of the images whose label is the most likely class."""
        return int(self.correct.sum()) / len(self.correct)


class Dynamics(NamedTuple):
    """The training labels under the weights at the end of each epoch: e of them, l labels."""

    updates: Ids
    """``(e,)`` how many updates were done."""
    p_true: Array
    """``(e, l)`` float32 probability of the label."""
    correct: Bools
    """``(e, l)`` whether the label is the most likely class."""

    def columns(self, ids: Ids) -> dict[str, Array | Ids | Bools]:
        """Return the record as columns ``id``, ``epoch`` (from 0), ``update``, ``p_true`` and ``correct``.

        Args:
            ids: ``(l,)`` ids of the labels that were trained on, in their order.
        """
        epochs, l = self.p_true.shape
        return {
            "id": np.tile(ids, epochs),
            "epoch": np.repeat(np.arange(epochs), l),
            "update": np.repeat(self.updates, l),
            "p_true": self.p_true.reshape(-1),
            "correct": self.correct.reshape(-1),
        }


@torch.inference_mode()
def judge(net: Net, normalise: Normalisation, examples: Examples, fabric: Fabric) -> Judged:
    """Return what a net in evaluation mode says of clean images, in float32.

    With several devices each looks at its share, and results are put together by position, so a share that is smaller
    than another weighs no more.

    Args:
        net: on its device; it is left in evaluation mode.
        normalise: the transform.
        examples: at least one.
        fabric: the devices.
    """
    net.eval()
    device = next(net.parameters()).device
    size = BLOCK.get(device.type, LARGE_BLOCK)
    rows = np.arange(fabric.global_rank, len(examples.labels), fabric.world_size)
    both = torch.zeros(2, len(examples.labels), device=device)
    for start in range(0, len(rows), size):
        here = rows[start : start + size]
        x = torch.from_numpy(examples.images[here]).to(device).permute(0, 3, 1, 2)
        y = torch.from_numpy(np.asarray(examples.labels[here], dtype=np.int64)).to(device)
        logits = net(normalise(x)).float()
        both[0, here] = functional.cross_entropy(logits, y, reduction="none")
        both[1, here] = (logits.argmax(dim=1) == y).float()
    if fabric.world_size > 1:
        both = cast("Tensor", fabric.all_reduce(both, reduce_op="sum"))
    nll, correct = both.cpu()
    return Judged((-nll).exp().numpy(), correct.numpy() > 0.5, float(nll.double().mean()))
