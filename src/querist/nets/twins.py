"""Random views of images for pre-training: whole batches on the device, every image with draws of its own."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from querist.nets.share import Draws
from querist.nets.tasks.base import Load, Start, Task
from querist.nets.twinning import Twinning

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601), as everywhere in such transforms."""

RATIO = 4 / 3
"""Longest side of a crop, as a multiple of the shorter one."""


class TwinTask(Task):
    """A task whose inputs are two random views of every image."""

    def __init__(self, start: Start, twinning: Twinning) -> None:
        super().__init__(start)
        self.twinning = twinning

    def views(self, rows: Tensor, load: Load, draws: Draws) -> tuple[Tensor, ...]:
        """Return two views of every image, drawn independently."""
        images = load(rows)
        first, second = (self.normalise(distort(images, self.twinning, draws)) for _ in range(2))
        return first, second


def distort(images: Tensor, twinning: Twinning, draws: Draws) -> Tensor:
    """Return one random view of each image: cropped, mirrored, its colours changed, grey, blurred, in this order.

    Brightness, contrast, saturation and hue change in this order, where libraries on single images shuffle it: one
    order is one operation on the batch.

    Args:
        images: ``(b, channels, h, w)`` uint8.
        twinning: how views differ; what concerns colours leaves images of one channel alone.
        draws: source of randomness for each image.

    Returns:
        ``(b, channels, h, w)`` float32 in 0..255.
    """
    channels = images.shape[1]

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * draws.uniform()).to(images.device)

    def one_in(share: float) -> Tensor:
        return uniform(0, 1) < share

    x = images.float()
    if twinning.crop < 1 or twinning.flip:
        x = crop(x, *boxes(twinning.crop, draws), mirrored=one_in(0.5 if twinning.flip else 0))
    if twinning.jitter or (twinning.hue and channels == 3):
        low, high = 1 - twinning.jitter, 1 + twinning.jitter
        changed, light, contrast, saturation = one_in(twinning.jittered), *(uniform(low, high) for _ in range(3))
        hue = uniform(-twinning.hue, twinning.hue)
        x = torch.where(_column(changed), recolour(x, light, contrast, saturation, hue), x)
    if twinning.grey and channels == 3:
        x = torch.where(_column(one_in(twinning.grey)), brightness(x).expand_as(x), x)
    if twinning.blur:
        x = torch.where(_column(one_in(twinning.blur)), blur(x, uniform(*twinning.sigma)), x)
    return x


def boxes(area: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return centres and sides of random crops, ``(b, 2)`` each on the CPU: x and y as shares of the image.

    Their area is uniform between `area` and 1 as a share of the image, the logarithm of their ratio of sides, seen from
    that of the image, uniform up to 4 : 3 either way, as in Szegedy et al., CVPR 2015. A side that would be too long is
    cut to the image, where others draw again; places are uniform and not rounded to pixels.
    """
    share, ratio, x, y = (draws.uniform() for _ in range(4))
    share = area + (1 - area) * share
    stretch = torch.exp((2 * ratio - 1) * math.log(RATIO) / 2) if area < 1 else torch.ones_like(share)
    side = torch.stack([share.sqrt() * stretch, share.sqrt() / stretch], dim=1).clamp(max=1.0)
    corner = torch.stack([x, y], dim=1) * (1 - side)
    return corner + side / 2, side


def crop(x: Tensor, centre: Tensor, side: Tensor, *, mirrored: Tensor) -> Tensor:
    """Return crops of images ``(b, channels, h, w)``, resized to the whole bilinearly and mirrored where asked.

    Args:
        x: float images.
        centre: ``(b, 2)``, x and y as shares of the image.
        side: ``(b, 2)``, width and height as shares of the image, at most 1: a crop is only ever enlarged.
        mirrored: ``(b,)`` bool.
    """
    centre, side = centre.to(x.device), side.to(x.device)
    sign = torch.where(mirrored, -1.0, 1.0)
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 1, 1] = side[:, 0] * sign, side[:, 1]
    theta[:, :, 2] = 2 * centre - 1
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def recolour(x: Tensor, light: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Return images ``(b, channels, h, w)`` in 0..255 in other colours, each clamped to 0..255 after every step.

    Args:
        x: float images; of one channel, saturation and hue do nothing.
        light: ``(b,)`` factors of brightness.
        contrast: ``(b,)`` factors of the distance to the mean brightness.
        saturation: ``(b,)`` factors of the distance to the grey image.
        hue: ``(b,)`` shifts of the hue, as a share of the circle.
    """
    x = (x * _column(light)).clamp(0, 255)
    mean = brightness(x).mean(dim=(2, 3), keepdim=True)
    x = torch.lerp(mean.expand_as(x), x, _column(contrast)).clamp(0, 255)
    if x.shape[1] == 1:
        return x
    x = torch.lerp(brightness(x).expand_as(x), x, _column(saturation)).clamp(0, 255)
    return shift_hue(x, hue) if bool((hue != 0).any()) else x


def brightness(x: Tensor) -> Tensor:
    """Return the brightness ``(b, 1, h, w)`` of images; of one channel, the images."""
    if x.shape[1] == 1:
        return x
    return (x * torch.tensor(GREY, device=x.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def shift_hue(x: Tensor, hue: Tensor) -> Tensor:
    """Return images ``(b, 3, h, w)`` with hues shifted by ``(b,)`` shares of the circle; value and saturation stay.

    The hexagonal colour space of Smith (SIGGRAPH 1978): with the largest channel v and the chroma s = v - smallest,
    channel k of a colour of hue H in sixths is ``v - s * clip(min(m, 4 - m), 0, 1)``, ``m = (k + H) mod 6`` for
    k = 5, 3, 1.
    """
    value, low = x.amax(dim=1), x.amin(dim=1)
    chroma = value - low
    red, green, blue = x.unbind(dim=1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    beyond_red = torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    sixths = torch.where(value == red, (green - blue) / safe, beyond_red)
    turned = sixths + 6 * hue.view(-1, 1, 1)
    channels = []
    for k in (5, 3, 1):
        m = (k + turned) % 6
        channels.append(value - chroma * torch.minimum(m, 4 - m).clamp(0, 1))
    return torch.stack(channels, dim=1)


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Return images ``(b, channels, h, w)`` blurred by Gaussians of ``(b,)`` standard deviations in pixels.

    A blur of rows is a product with a matrix, and so is one of columns. Weights of pixels beyond the border are spread
    over those within, so a constant image stays as it is.
    """
    rows, columns = (_spread(side, sigma)[:, None] for side in x.shape[2:])
    return rows @ x @ columns.transpose(2, 3)


def _spread(side: int, sigma: Tensor) -> Tensor:
    """Return matrices ``(b, side, side)`` of Gaussian weights that sum to one in every row."""
    place = torch.arange(side, device=sigma.device, dtype=torch.float32)
    gap = (place[:, None] - place[None]) / sigma.view(-1, 1, 1)
    return torch.softmax(-0.5 * gap.square(), dim=2)


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
