"""Policies: which operations are drawn at random for an image, and how strong they are."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from querist.nets.augmenting import Augmenting
from querist.nets.operations import PIXELS, TABLES, WARPS, blank, boxes, look_up, warp

Chance: TypeAlias = Callable[[], Tensor]
"""Gives numbers in [0, 1), ``(b,)`` float64 on the CPU, new ones at every call."""

ANY = 1_001
"""How many magnitudes stand for any magnitude at all."""

CUT_SIDE, CUT_COLOUR, CUT_GREY = 0.5, (125, 123, 114), 123
"""Of the cut-out that ends ``fixmatch``: the longest side, as a share of the width, and its colour."""


class Choice(NamedTuple):
    """One operation that may be drawn."""

    name: str
    values: Tensor
    """``(levels,)`` float64: its value at every magnitude, before the sign."""
    signed: bool = False
    """Whether the sign is drawn too."""
    around: float = 0.0
    """What is added to a value after the sign."""
    fill: int = 0
    """Level of what a warp brings in from outside."""
    mode: str = "nearest"
    """Interpolation of a warp."""

    @property
    def family(self) -> str:
        """What is done in one pass."""
        if self.name in WARPS:
            return f"warp {self.mode}"
        return "table" if self.name in TABLES else self.name


def randaugment(height: int, width: int) -> list[Choice]:
    """RandAugment as in torchvision: 14 operations, 31 magnitudes (Cubuk, Zoph, Shlens & Le, CVPR Workshops 2020)."""
    return _wide(31, 0.3, 150 / 331 * width, 150 / 331 * height, 30.0, 0.9, 4)


def trivialaugment(_height: int, _width: int) -> list[Choice]:
    """TrivialAugment Wide as in torchvision: 14 operations, 31 magnitudes (Mueller & Hutter, ICCV 2021).

    Translations go up to 32 pixels whatever the size of the images, so that small ones may leave the picture.
    """
    return _wide(31, 0.99, 32.0, 32.0, 135.0, 0.99, 6)


def _wide(levels: int, shear: float, x: float, y: float, turn: float, factor: float, bits: int) -> list[Choice]:
    def up_to(most: float) -> Tensor:
        return torch.linspace(
            0, most, levels
        ).double()  # float32 first, so that the values are torchvision's to the bit

    none = torch.zeros(levels, dtype=torch.float64)
    return [
        Choice("identity", none),
        Choice("shear_x", up_to(shear), signed=True),
        Choice("shear_y", up_to(shear), signed=True),
        Choice("translate_x", up_to(x).trunc(), signed=True),
        Choice("translate_y", up_to(y).trunc(), signed=True),
        Choice("rotate", up_to(turn), signed=True),
        *(Choice(name, up_to(factor), signed=True, around=1.0) for name in ("brightness", "colour")),
        *(Choice(name, up_to(factor), signed=True, around=1.0) for name in ("contrast", "sharpness")),
        Choice("posterize", (8 - torch.arange(levels) / ((levels - 1) / bits)).round().double()),
        Choice("solarize", torch.linspace(1, 0, levels).double() * 255),
        Choice("autocontrast", none),
        Choice("equalize", none),
    ]


def randaugment_s2(height: int, width: int) -> list[Choice]:
    """RandAugment as TorchAL has it: 15 operations without identity, 10 magnitudes (Munjal et al., CVPR 2022).

    Rotations go one way only. Shears are bicubic and, like translations, bring in grey; rotations bring in black.
    """
    share = torch.linspace(0, 1, 10, dtype=torch.float64)
    factors = ("colour", "contrast", "brightness", "sharpness")
    return [
        *(Choice(name, share * 0) for name in ("invert", "autocontrast", "equalize")),
        Choice("rotate", share * 30),
        Choice("solarize", 256 - share * 256),
        Choice("posterize", (8 - share * 4).trunc()),
        *(Choice(name, share * 0.9, signed=True, around=1.0) for name in factors),
        *(Choice(name, share * 0.3, signed=True, fill=128, mode="bicubic") for name in ("shear_x", "shear_y")),
        Choice("translate_x", share * 150 / 331 * width, signed=True, fill=128),
        Choice("translate_y", share * 150 / 331 * height, signed=True, fill=128),
        Choice("cutout", share * 0.8 * width),
    ]


def fixmatch(height: int, width: int) -> list[Choice]:
    """The strong view of FixMatch and its kin: 14 operations of any magnitude (Sohn et al., NeurIPS 2020).

    A cut-out follows them, see `CUT_SIDE`.
    """
    share = torch.linspace(0, 1, ANY, dtype=torch.float64)
    factors = ("brightness", "colour", "contrast", "sharpness")
    return [
        *(Choice(name, share * 0) for name in ("autocontrast", "equalize", "identity")),
        *(Choice(name, 0.05 + share * 0.9) for name in factors),
        Choice("posterize", (4 + share * 4).trunc()),
        Choice("rotate", share * 60 - 30),
        *(Choice(name, share * 0.6 - 0.3) for name in ("shear_x", "shear_y")),
        Choice("solarize", share * 256),
        Choice("translate_x", (share * 0.6 - 0.3) * width),
        Choice("translate_y", (share * 0.6 - 0.3) * height),
    ]


POLICIES: Mapping[str, Callable[[int, int], list[Choice]]] = {
    "randaugment": randaugment,
    "trivialaugment": trivialaugment,
    "randaugment_s2": randaugment_s2,
    "fixmatch": fixmatch,
}


class Span(NamedTuple):
    """Consecutive images of a sorted batch that got the same operation."""

    choice: Choice
    start: int
    stop: int


class Policy:
    """Draws operations for every image of a batch and applies them, a pass per family of operations.

    Args:
        augmenting: which policy, other than ``none``.
        height: of an image.
        width: of an image.
    """

    def __init__(self, augmenting: Augmenting, height: int, width: int) -> None:
        self.name, self._shape = augmenting.policy, (height, width)
        self.choices = sorted(POLICIES[self.name](height, width), key=lambda choice: choice.family)
        self._operations = 1 if self.name == "trivialaugment" else augmenting.operations
        fixed = self.name in ("randaugment", "randaugment_s2")
        self._magnitude = augmenting.magnitude if fixed else None
        self._values = torch.stack([choice.values for choice in self.choices])
        self._signed = torch.tensor([choice.signed for choice in self.choices])
        self._around, self._fill = (
            torch.tensor([getattr(choice, name) for choice in self.choices], dtype=torch.float64)
            for name in ("around", "fill")
        )
        self._cuts = any(choice.name == "cutout" for choice in self.choices)

    def __call__(self, images: Tensor, chance: Chance) -> Tensor:
        """Return images ``(b, h, w, channels)``, each varied on its own."""
        for _ in range(self._operations):
            which, value = self.draw(chance)
            centre = torch.stack([chance(), chance()], dim=1) if self._cuts else torch.zeros(len(which), 2)
            images = self.operate(images, which, value, centre)
        if self.name == "fixmatch":
            side = chance() * CUT_SIDE * self._shape[1]
            box = boxes(side, torch.stack([chance(), chance()], dim=1), *self._shape)
            fill = CUT_COLOUR if images.shape[3] == 3 else (CUT_GREY,)
            fill = torch.tensor(fill, dtype=torch.uint8)
            images = blank(images, send(box, images.device), send(fill, images.device))
        return images

    def draw(self, chance: Chance) -> tuple[Tensor, Tensor]:
        """Return one drawn operation per image, ``(b,)`` places in `choices`, and its value ``(b,)``."""
        which = (chance() * len(self.choices)).long()
        magnitude = self._magnitude
        if magnitude is None:
            magnitude = (chance() * self._values.shape[1]).long()
        value = self._values[which, magnitude]
        value = torch.where(self._signed[which] & (chance() < 0.5), -value, value)
        return which, value + self._around[which]

    def operate(self, images: Tensor, which_b: Tensor, value_b: Tensor, centre_b: Tensor) -> Tensor:
        """Return images after one operation each.

        Args:
            images: ``(b, h, w, channels)``.
            which_b: ``(b,)`` places in `choices`.
            value_b: ``(b,)`` values of these.
            centre_b: ``(b, 2)`` centres of cut-outs, down and to the right, in 0..1.
        """
        order = which_b.argsort(stable=True)
        which, value = which_b[order], value_b[order]
        ends = torch.bincount(which, minlength=len(self.choices)).cumsum(0).tolist()
        spans = [Span(*span) for span in zip(self.choices, [0, *ends], ends, strict=False) if span[1] < span[2]]
        theta = torch.zeros(len(order), 6, dtype=torch.float64)
        for choice, start, stop in spans:
            if choice.name in WARPS:
                theta[start:stop] = WARPS[choice.name](value[start:stop], *self._shape).flatten(1)
        box = boxes(value, centre_b[order], *self._shape) if self._cuts else torch.zeros(len(order), 4)
        # One block of numbers, so that a graphics card waits for one transfer only.
        places = torch.stack([order, order.argsort(), value, self._fill[which]], dim=1)
        columns = send(torch.cat([places, theta, box], dim=1), images.device)
        there, back = columns[:, :2].long().unbind(1)
        work = images.index_select(0, there)
        for _, group in groupby(spans, key=lambda span: span.choice.family):
            _pass(work, list(group), columns[:, 2:])
        return work.index_select(0, back)


def _pass(work: Tensor, spans: Sequence[Span], columns: Tensor) -> None:
    """Do what one family does, in place: value, fill, matrix and box are the columns."""
    start, stop = spans[0].start, spans[-1].stop
    images, columns = work[start:stop], columns[start:stop]
    choice, value = spans[0].choice, columns[:, 0].float()
    if choice.name in WARPS:
        images[:] = warp(images, columns[:, 2:8].view(-1, 2, 3), columns[:, 1], choice.mode)
    elif choice.name in TABLES:
        tables = [
            TABLES[span.choice.name](work[span.start : span.stop], value[span.start - start : span.stop - start])
            for span in spans
        ]
        images[:] = look_up(images, torch.cat([table.expand(-1, images.shape[3], -1) for table in tables]))
    elif choice.name in PIXELS:
        images[:] = PIXELS[choice.name](images, value)
    elif choice.name == "cutout":
        images[:] = blank(images, columns[:, 8:12].long(), images.new_zeros(images.shape[3]))


def send(numbers: Tensor, device: torch.device) -> Tensor:
    """Return numbers on a device without waiting for the work it has in hand."""
    return numbers.to(device, non_blocking=True)
