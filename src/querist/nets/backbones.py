"""Pre-trained backbones as folders: weights, and a card that says which net they are of and what images it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from querist.arrays import Array
from querist.errors import DataError
from querist.evidence.view import View
from querist.nets.checkpoints import fill, read_checkpoint, write_checkpoint
from querist.nets.images import Normalisation
from querist.nets.net import build_net
from querist.nets.running import reproducible
from querist.nets.scoring import batches, rows
from querist.seeds import Seed

KIND = "backbone"
"""What the card of such a checkpoint says it is."""


class BackboneCard(NamedTuple):
    """What there is to know about a pre-trained backbone."""

    net: str
    """Name of the architecture, see `querist.nets.base.locate`."""
    shape: tuple[int, int, int]
    """Channels, height and width of the images it was trained on."""
    d: int
    """Width of its embedding."""
    mean: tuple[float, ...]
    """Of each channel in 0..255: the normalisation it was trained with."""
    std: tuple[float, ...]
    """Of each channel."""
    method: str
    """Registry name of what trained it."""
    about: Mapping[str, Any]
    """What else is known, JSON values: settings of the training, fingerprint of the data, statistics per item."""

    @property
    def normalise(self) -> Normalisation:
        """The transform of images of any size: resized to that of the training, and normalised as in it."""
        return Resized(self.mean, self.std, self.shape)


@dataclass(frozen=True, eq=False)
class Resized(Normalisation):
    """A normalisation that first makes images what a backbone was trained on.

    The whole picture is kept and its aspect ratio given up, bilinear and antialiased, as by the other encoders; images
    of the right size are left alone, to the last bit. Grey images are repeated for a backbone of colour images.

    Attributes:
        shape: channels, height and width that come out.
    """

    shape: tuple[int, int, int]

    def __call__(self, x: Tensor) -> Tensor:
        """Return uint8 images ``(b, channels, h, w)`` as float32 of `shape`.

        Raises:
            DataError: they are of colour, and the backbone knows grey images only.
        """
        channels, *size = self.shape
        if x.shape[1] > channels:
            raise DataError(
                f"the backbone was trained on grey images, and these have {x.shape[1]} channels. Take one that was "
                "trained on colour images, or make these grey."
            )
        x = x.expand(-1, channels, -1, -1)
        if list(x.shape[2:]) != size:
            x = functional.interpolate(x.float(), size, mode="bilinear", antialias=True, align_corners=False)
        return super().__call__(x)


def write_backbone(folder: Path, backbone: nn.Module, card: BackboneCard) -> None:
    """Write a backbone as a checkpoint of the kind ``backbone``.

    Args:
        folder: see `write_checkpoint`.
        backbone: images ``(b, channels, h, w)`` to embeddings ``(b, d)``, of the architecture that the card names.
        card: what it is.

    Raises:
        StoreError: the folder cannot be written.
    """
    write_checkpoint(folder, backbone.state_dict(), {"kind": KIND, **card._asdict()})


def read_backbone(folder: Path) -> tuple[nn.Module, BackboneCard]:
    """Return the backbone of a folder, on the CPU and in evaluation mode, and its card.

    Every weight comes from the folder: one that is missing or unexpected is an error, none is left as it was drawn.

    Raises:
        DataError: there is no backbone, it is damaged, or its weights are not of the net that its card names.
        UnknownNameError: its card names a net that this installation does not know.
    """
    weights, values = read_checkpoint(folder, KIND)
    card = _card(folder, values)
    with reproducible(Seed(0).child("backbone"), torch.device("cpu")):
        net = build_net(card.net, card.shape, 2)
    fill(net.backbone, weights, f"the backbone {folder}")
    if net.head.in_features != card.d:
        raise DataError(f"the card of {folder} says {card.d} dimensions, but its net has {net.head.in_features}.")
    return net.backbone.eval(), card


@torch.inference_mode()
def embed_backbone(backbone: nn.Module, normalise: Normalisation, view: View) -> Array:
    """Return the embeddings ``(n, d)`` float32 of the clean images of a view; a row has the same bits in any company.

    The backbone is left in evaluation mode.
    """
    backbone.eval()
    device = next(backbone.parameters()).device
    out = [rows(backbone(x), count) for x, count in batches(normalise, view, device)]
    return np.concatenate(out) if out else np.empty((0, 0), np.float32)


def _card(folder: Path, values: Mapping[str, Any]) -> BackboneCard:
    try:
        channels, height, width = map(int, values["shape"])
        mean, std = (tuple(map(float, values[name])) for name in ("mean", "std"))
        card = BackboneCard(
            str(values["net"]), (channels, height, width), int(values["d"]), mean, std, str(values["method"]),
            dict(values["about"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the card of {folder} is damaged ({type(error).__name__}: {error}). Train it again."
        ) from error
    if not len(mean) == len(std) == channels:
        raise DataError(f"the card of {folder} has statistics of {len(mean)} and {len(std)} channels of {channels}.")
    return card
