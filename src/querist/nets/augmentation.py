"""The transform for training: whole batches of images cropped, mirrored and varied on the device of the net."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from querist.nets.augmenting import Augmenting
from querist.nets.images import Images
from querist.nets.operations import blank, boxes
from querist.nets.policies import Chance, Policy, send

RESIDENT = 0.5
"""Share of the free memory of a graphics card that images may take; more of them stay with the CPU."""


def stream(draws: torch.Generator, b: int) -> Chance:
    """Return the chances of a batch of `b` images, drawn one after another."""
    return lambda: torch.rand(b, generator=draws, dtype=torch.float64)


class Augmentation:
    """Labelled images to training batches: a `Variation` of images that are kept on the device of the net.

    They are kept as they are, without copies for crops; more than fit beside the net stay with the CPU.

    Args:
        images: ``(n, h, w, channels)``.
        augmenting: what happens to them; `mixup` and `cutmix` are for `querist.nets.mixing.mix`.
        device: where the net is.
        blank: colour of cut-outs, see `Variation`.
    """

    def __init__(self, images: Images, augmenting: Augmenting, device: torch.device, blank: Sequence[float]) -> None:
        whole = torch.from_numpy(np.require(images, np.uint8, ["C", "W"]))
        self.images = whole.to(device) if _fits(whole.nbytes, device) else whole
        self.vary = Variation(augmenting, images.shape[1:], device, blank)

    def __call__(self, rows: Tensor, draws: torch.Generator) -> Tensor:
        """Return ``(b, channels, h, w)`` uint8 images of `rows` (b,), each varied on its own, on the device."""
        return self.vary(self.images, rows, stream(draws, len(rows)))


class Variation:
    """Random crops of reflected images, mirror images, a policy and a cut-out, in this order, for whole batches.

    A batch is one gather of pixels, whose places hold crop, reflection and mirror; a policy takes a pass per family of
    operations; nothing is done image by image. Random numbers are drawn on the CPU, so they are the same on every
    device, and what becomes of an image depends on its own numbers alone.

    Args:
        augmenting: what happens to images.
        shape: height, width and channels of one.
        device: where batches shall be.
        blank: colour of `cutout`, of every channel, in 0..255: the mean of the normalisation, which a net sees as 0.
    """

    def __init__(
        self, augmenting: Augmenting, shape: tuple[int, ...], device: torch.device, blank: Sequence[float]
    ) -> None:
        self._shape = height, width, _ = shape
        # Half up: 28 gives 4 at a share of one eighth, the padding that is customary there.
        self._pad = min(int(augmenting.crop * min(height, width) + 0.5), min(height, width) - 1)
        self._flip, self._side, self._device = augmenting.flip, augmenting.cutout * min(height, width), device
        self._blank = torch.tensor(blank).round().to(torch.uint8).to(device)
        self._policy = None if augmenting.policy == "none" else Policy(augmenting, height, width)

    def __call__(self, images: Tensor, rows: Tensor, chance: Chance) -> Tensor:
        """Return ``(b, channels, h, w)`` uint8 images, channels last in memory.

        Args:
            images: ``(n, h, w, channels)`` uint8, contiguous, on any device.
            rows: ``(b,)`` which of them, on the CPU; a row may be repeated.
            chance: where the random numbers of the `b` images come from.
        """
        batch = self._crop(images, rows, chance)
        if self._policy is not None:
            batch = self._policy(batch, chance)
        if self._side:
            side = torch.full((len(rows),), self._side, dtype=torch.float64)
            box = boxes(side, torch.stack([chance(), chance()], dim=1), *self._shape[:2])
            batch = blank(batch, send(box, self._device), self._blank)
        return batch.permute(0, 3, 1, 2)

    def _crop(self, images: Tensor, rows: Tensor, chance: Chance) -> Tensor:
        """Return ``(b, h, w, channels)``: beyond the border an image goes on as in a mirror."""
        height, width, channels = self._shape
        offsets = torch.zeros(3, len(rows), dtype=torch.int64)
        if self._pad:
            offsets[:2] = (torch.stack([chance(), chance()]) * (2 * self._pad + 1)).long() - self._pad
        if self._flip:
            offsets[2] = chance() < 0.5
        where = images.device
        row, down, right, mirrored = send(torch.cat([rows.view(1, -1), offsets]), where).unsqueeze(2)
        y, x = torch.arange(height, device=where), torch.arange(width, device=where)
        x = torch.where(mirrored > 0, width - 1 - x, x)
        y, x = _reflect(y + down, height), _reflect(x + right, width)
        place = ((row * height + y) * width)[:, :, None] + x[:, None, :]
        pixels = images.view(-1, channels).index_select(0, place.view(-1))
        return send(pixels, self._device).view(-1, height, width, channels)


def _reflect(place: Tensor, size: int) -> Tensor:
    """Return places beyond the border mirrored at the outermost pixel."""
    place = place.abs()
    return torch.where(place < size, place, 2 * (size - 1) - place)


def _fits(nbytes: int, device: torch.device) -> bool:
    return device.type != "cuda" or nbytes <= RESIDENT * torch.cuda.mem_get_info(device)[0]
