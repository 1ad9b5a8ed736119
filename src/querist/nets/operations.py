"""Operations on batches of uint8 images, each image with a value of its own; nothing here is random.

Batches are ``(b, h, w, channels)`` with one channel or three, values ``(b,)``. Every operation treats an image as if it
were alone, in integers or in element-wise floats, so that its company never changes a bit. Where Pillow and the tensors
of torchvision differ by a level, it is Pillow that is followed: the published policies were made with it.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 256


def affine(slope: Callable[[Tensor, int, int], tuple[Tensor, ...]]) -> Callable[[Tensor, int, int], Tensor]:
    """Return the function that makes matrices ``(b, 2, 3)`` of their six entries, in rows."""

    def matrices(value_b: Tensor, height: int, width: int) -> Tensor:
        entries = torch.broadcast_tensors(*slope(value_b, height, width))
        return torch.stack(entries, dim=1).view(-1, 2, 3)

    return matrices


def _rotation(v: Tensor) -> tuple[Tensor, Tensor]:
    turn = v * (math.pi / 180)
    return turn.cos(), turn.sin()


_0, _1 = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)

WARPS: Mapping[str, Callable[[Tensor, int, int], Tensor]] = {
    "shear_x": affine(lambda v, h, _w: (_1, v, v * h / 2, _0, _1, _0)),
    "shear_y": affine(lambda v, _h, w: (_1, _0, _0, v, _1, v * w / 2)),
    "translate_x": affine(lambda v, _h, _w: (_1, _0, -v, _0, _1, _0)),
    "translate_y": affine(lambda v, _h, _w: (_1, _0, _0, _0, _1, -v)),
    "rotate": affine(lambda v, _h, _w: (_rotation(v)[0], -_rotation(v)[1], _0, _rotation(v)[1], _rotation(v)[0], _0)),
}
"""What moves pixels: values ``(b,)`` float64, height and width to matrices ``(b, 2, 3)`` on the CPU.

A matrix takes a place of the result, in pixels from the centre, to a place of the image. Shears take a slope, about the
upper left corner; translations pixels to the right and down; rotations degrees against the clock, about the centre.
"""


def warp(images: Tensor, theta_b: Tensor, fill_b: Tensor, mode: str) -> Tensor:
    """Return images seen through affine matrices, all in one pass.

    Args:
        images: ``(b, h, w, channels)``.
        theta_b: ``(b, 2, 3)``, see `WARPS`.
        fill_b: ``(b,)`` level of whatever comes from outside.
        mode: ``nearest``, or ``bicubic``: cubic convolution with a = -0.75.
    """
    height, width = images.shape[1:3]
    half = torch.tensor([[width / 2], [height / 2]], device=images.device)
    # Element by element, not by a product of matrices, whose last bit may hang on how many there are.
    t = (theta_b.float() / half)[:, :, :, None, None]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = (torch.arange(height, device=images.device) - (height - 1) / 2)[:, None]
    grid = (t[:, :, 0] * x + t[:, :, 1] * y + t[:, :, 2]).permute(0, 2, 3, 1)
    fill = fill_b.float().view(-1, 1, 1, 1)
    moved = functional.grid_sample(
        images.permute(0, 3, 1, 2).float() - fill, grid, mode=mode, padding_mode="zeros", align_corners=False
    )
    return (moved + fill).round_().clamp_(0, LEVELS - 1).to(torch.uint8).permute(0, 2, 3, 1)


def brightness(images: Tensor, factor_b: Tensor) -> Tensor:
    """Return tables ``(b, 1, 256)`` that blend with black: 0 black, 1 the image itself, more is brighter."""
    return _blend(torch.zeros_like(factor_b)[:, None, None], _levels(images), factor_b[:, None, None])


def contrast(images: Tensor, factor_b: Tensor) -> Tensor:
    """Return tables ``(b, 1, 256)`` that blend with the mean grey level."""
    total = _grey(images).sum(dim=(1, 2, 3), dtype=torch.int64)  # of integers: exact in any order
    mean = (total.double() / images[0, :, :, 0].numel() + 0.5).floor()
    return _blend(mean.float()[:, None, None], _levels(images), factor_b[:, None, None])


def posterize(images: Tensor, bits_b: Tensor) -> Tensor:
    """Return tables ``(b, 1, 256)`` that keep so many bits, 0 to 8."""
    away = (8 - bits_b.to(torch.int64))[:, None, None]
    return ((_levels(images).to(torch.int64) >> away) << away).to(torch.uint8)


def solarize(images: Tensor, threshold_b: Tensor) -> Tensor:
    """Return tables ``(b, 1, 256)`` that invert levels from the threshold on."""
    levels = _levels(images)
    return torch.where(levels >= threshold_b[:, None, None], LEVELS - 1 - levels, levels).to(torch.uint8)


def invert(images: Tensor, value_b: Tensor) -> Tensor:
    """Return tables ``(b, 1, 256)`` of negatives; values play no part."""
    return (LEVELS - 1 - _levels(images)).to(torch.uint8).expand(len(value_b), 1, LEVELS)


def autocontrast(images: Tensor, _value_b: Tensor) -> Tensor:
    """Return tables ``(b, channels, 256)`` that stretch each channel to 0..255; a constant one stays."""
    low, high = (part.double()[:, :, None] for part in torch.aminmax(images.flatten(1, 2), dim=1))
    scale = torch.full_like(low, LEVELS - 1) / (high - low).clamp(min=1)  # a number over a tensor would round twice
    stretched = (_levels(images) * scale - low * scale).clamp_(0, LEVELS - 1)
    return torch.where(low < high, stretched, _levels(images).double()).to(torch.uint8)


def equalize(images: Tensor, _value_b: Tensor) -> Tensor:
    """Return tables ``(b, channels, 256)`` that spread each channel's levels evenly.

    In integers, as in Pillow: a level becomes the number of pixels below it, plus half a step, over the step, which is
    a 255th of the pixels that have not the highest level; a channel with a step of 0 stays.
    """
    b, height, width, channels = images.shape
    one = torch.ones(1, dtype=torch.int32, device=images.device)
    count = torch.zeros(b, LEVELS, channels, dtype=torch.int32, device=images.device)
    count.scatter_add_(1, images.flatten(1, 2).long(), one.expand(b, height * width, channels))
    count = count.transpose(1, 2)
    below = count.cumsum(2) - count
    # The highest level is the one below which most pixels are, that has pixels itself.
    step = torch.where(count > 0, below, 0).amax(dim=2, keepdim=True) // (LEVELS - 1)
    spread = ((below + step // 2) // step.clamp(min=1)).clamp_(0, LEVELS - 1)
    return torch.where(step > 0, spread, _levels(images)).to(torch.uint8)


TABLES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "posterize": posterize,
    "solarize": solarize,
    "invert": invert,
    "autocontrast": autocontrast,
    "equalize": equalize,
}
"""What changes a level in the same way wherever it is: images and values to tables, one per image or channel."""


def look_up(images: Tensor, table_b: Tensor) -> Tensor:
    """Return images whose levels are replaced by those of their tables ``(b, channels, 256)``."""
    first = torch.arange(0, table_b.numel(), LEVELS, device=images.device).view(len(images), 1, 1, -1)
    return table_b.reshape(-1).index_select(0, images.long().add_(first).reshape(-1)).view(images.shape)


def colour(images: Tensor, factor_b: Tensor) -> Tensor:
    """Blend with the grey image: 0 grey, 1 the image itself, more is more colourful; one channel has none to change."""
    if images.shape[3] == 1:
        return images
    return _blend(_grey(images).float(), images.float(), factor_b.view(-1, 1, 1, 1))


def sharpness(images: Tensor, factor_b: Tensor) -> Tensor:
    """Blend with a smoothed image: 0 smooth, 1 the image itself, more is sharper; the outermost pixels stay.

    Smooth is the mean of 3 x 3 pixels, of which the middle one counts five times.
    """
    if min(images.shape[1:3]) < 3:
        return images
    x = images.to(torch.int16)
    three = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    nine = three[:, :, :-2] + three[:, :, 1:-1] + three[:, :, 2:]
    smooth = x.clone()
    # Rounded; a thirteenth never lies half-way between two integers.
    smooth[:, 1:-1, 1:-1] = (2 * (nine + 4 * x[:, 1:-1, 1:-1]) + 13) // 26
    return _blend(smooth.float(), x.float(), factor_b.view(-1, 1, 1, 1))


PIXELS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"colour": colour, "sharpness": sharpness}
"""What looks at several levels at once: images and values to images."""


def boxes(side_b: Tensor, centre_b: Tensor, height: int, width: int) -> Tensor:
    """Return squares ``(b, 4)`` as top, bottom, left and right: integers, cut off at the border.

    Args:
        side_b: ``(b,)`` in pixels; rounded half up.
        centre_b: ``(b, 2)`` down and to the right, in 0..1.
        height: of an image.
        width: of an image.
    """
    size = torch.tensor([height, width])
    side = (side_b[:, None] + 0.5).long()
    first = (centre_b * size).long() - side // 2
    edges = torch.stack([first, first + side], dim=2)
    return edges.clamp(min=0).minimum(size[:, None]).flatten(1)


def blank(images: Tensor, box_b: Tensor, fill: Tensor) -> Tensor:
    """Return images with one box each, ``(b, 4)`` as `boxes` gives them, of one colour, ``(channels,)`` uint8."""
    top, bottom, left, right = (edge.view(-1, 1, 1, 1) for edge in box_b.unbind(1))
    y = torch.arange(images.shape[1], device=images.device)[:, None, None]
    x = torch.arange(images.shape[2], device=images.device)[:, None]
    cut = (((y >= top) & (y < bottom)) & ((x >= left) & (x < right))).to(torch.uint8)
    return images * (1 - cut) + fill * cut  # twice as fast as a choice by pixel


def _levels(images: Tensor) -> Tensor:
    return torch.arange(LEVELS, dtype=torch.float32, device=images.device)


def _blend(end: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Go from `end`, at a factor of 0, to the image, at 1, and beyond; cut down to a whole level."""
    return (end + factor * (images - end)).clamp_(0, LEVELS - 1).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Return luma ``(b, h, w, 1)`` in integers, so that grey stays the grey it is (ITU-R BT.601, as in Pillow)."""
    if images.shape[3] == 1:
        return images
    red, green, blue = images.to(torch.int32).split(1, dim=3)
    return (19_595 * red + 38_470 * green + 7_471 * blue + 32_768) >> 16
