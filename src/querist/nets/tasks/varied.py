"""Tasks whose inputs are images varied as in the training of learners, and passes over all clean images in order."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from querist.nets.augmentation import Variation
from querist.nets.augmenting import Augmenting
from querist.nets.scoring import BLOCK, LARGE_BLOCK
from querist.nets.share import Draws, Share
from querist.nets.tasks.base import Load, Start, Task
from querist.progress import tell


class VariedTask(Task):
    """A task that crops, mirrors and varies images before a net sees them.

    Args:
        start: what it begins with.
    """

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        channels, height, width = start.shape
        self._shape = (height, width, channels)
        self._variations: dict[tuple[Augmenting, torch.device], Variation] = {}

    def vary(self, rows: Tensor, load: Load, augmenting: Augmenting, draws: Draws) -> Tensor:
        """Return the images of `rows` (b,), each varied on its own, normalised, on the device."""
        images = load(rows)
        key = (augmenting, images.device)
        if key not in self._variations:
            self._variations[key] = Variation(augmenting, self._shape, images.device, self.normalise.mean)
        whole = images.permute(0, 2, 3, 1).contiguous()
        chance = partial(draws.uniform, torch.float64)
        return self.normalise(self._variations[key](whole, torch.arange(len(rows)), chance))


def in_order(task: Task, load: Load, measure: Callable[[Tensor], Tensor], what: str, share: Share) -> Tensor:
    """Return what is measured on every clean, normalised image of a pool in order, ``(n, t)`` float64.

    Every block has the same number of images, the last one filled up by repeating its own, so a row has the same bits
    in any pool, whatever the batches of the training were and whoever measures it.

    Args:
        task: of whose pool; in evaluation mode.
        load: the images.
        measure: normalised images ``(b, channels, h, w)`` to rows ``(b, t)``.
        what: what progress is called.
        share: which of them this device measures.
    """
    size = BLOCK.get(next(task.parameters()).device.type, LARGE_BLOCK)
    own = share.own(torch.arange(task.n))
    out: list[Tensor] = []
    for start in range(0, len(own), size):
        count = min(size, len(own) - start)
        images = load(own[start + torch.arange(size) % count])
        out.append(measure(task.normalise(images))[:count].double())
        tell(what, start + count, len(own))
    return share.whole(torch.cat(out), task.n)
