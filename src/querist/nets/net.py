"""One net for every architecture: a backbone, its embedding, optional dropout, and our own linear head."""

from typing import cast

import torch
from torch import Tensor, nn

from querist.errors import SpecError
from querist.extras import require
from querist.nets.base import build_ours, locate
from querist.nets.tapped import Call, Tapped, last_linear


class Net(nn.Module):
    """Images to logits by way of a penultimate embedding.

    The head is one `nn.Linear`, whatever the backbone, so embeddings, head and last-layer gradients mean the same for
    every architecture: ``logits = head(dropout(embedding))``.

    Args:
        backbone: images ``(b, channels, h, w)`` to embeddings ``(b, d)``.
        d: width of the embedding.
        c: number of classes.
        dropout: share of the embedding that is dropped in training, between 0 and 1.
    """

    def __init__(self, backbone: nn.Module, d: int, c: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone, self.dropout, self.head = backbone, nn.Dropout(dropout), nn.Linear(d, c)

    @classmethod
    def wrap(
        cls,
        module: nn.Module,
        shape: tuple[int, int, int],
        c: int,
        *,
        embedding: str = "",
        dropout: float = 0.0,
        call: Call | None = None,
    ) -> "Net":
        """Return a net made of any classifier: its last layer is replaced by our head, its ``forward`` may be odd.

        Args:
            module: the classifier; its own last layer is taken out of it, see `querist.nets.tapped.Tapped`.
            shape: channels, height and width of an image.
            c: number of classes.
            embedding: name of the layer that takes the embedding in; by default the last linear layer.
            dropout: before our head.
            call: how the module is run on images, e.g. ``lambda module, x: module(pixel_values=x)``.

        Raises:
            UnknownNameError: there is no layer of that name.
            SpecError: it does not take such images, or has no single embedding per image.
        """
        backbone = Tapped(module, embedding, call)
        return cls(backbone, _width(backbone, type(module).__name__, shape), c, dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Return embeddings ``(b, d)``, before any dropout."""
        return self.backbone(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(b, c)``."""
        return self.head(self.dropout(self.embed(x)))


def build_net(name: str, shape: tuple[int, int, int], c: int, dropout: float = 0.0) -> Net:
    """Return a net with random weights, drawn from torch's global generator: call it under `running.reproducible`.

    Args:
        name: of the architecture, see `querist.nets.base.locate`.
        shape: channels, height and width of an image.
        c: number of classes.
        dropout: before the head.

    Raises:
        UnknownNameError: no such architecture.
        SpecError: it does not take such images, or has no single embedding per image.
        MissingExtraError: its library is not installed.
    """
    backbone = build_backbone(name, shape[0])
    return Net(backbone, _width(backbone, name, shape), c, dropout)


def build_backbone(name: str, channels: int) -> nn.Module:
    """Return the part of a net below its head, images ``(b, channels, h, w)`` to embeddings ``(b, d)``.

    Raises:
        UnknownNameError: no such architecture, or no such setting of it.
        SpecError: it ends in no linear layer, or a setting makes no sense.
        MissingExtraError: its library is not installed.
    """
    library, title = locate(name)
    if library == "querist":
        return build_ours(title, channels)
    return _from_timm(title, channels) if library == "timm" else _from_torchvision(title, channels)


def _from_timm(name: str, channels: int) -> nn.Module:
    require(f"the net 'timm/{name}'", "deep", "timm")
    import timm

    return timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels)


def _from_torchvision(name: str, channels: int) -> nn.Module:
    require(f"the net 'torchvision/{name}'", "deep", "torchvision")
    from torchvision.models import get_model

    if name in ("googlenet", "inception_v3"):
        raise SpecError(f"the net 'torchvision/{name}' has auxiliary heads; take 'timm/inception_v3' or another net.")
    model = get_model(name, weights=None)
    # Such models return nothing but logits, and without a `Tapped` around them weights keep the library's names.
    model.set_submodule(last_linear(model, f"the net 'torchvision/{name}'"), nn.Identity())
    return nn.Sequential(RepeatGrey(), model) if channels == 1 else model


class RepeatGrey(nn.Module):
    """One channel as three equal ones, for nets that know colour only."""

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1)


def _width(backbone: nn.Module, name: str, shape: tuple[int, int, int]) -> int:
    """Return the width of the embedding by trying it, in evaluation mode, so that no statistic moves."""
    backbone.eval()
    try:
        with torch.no_grad():
            rows = backbone(torch.zeros(2, *shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise SpecError(
            f"the net {name!r} does not take images of {shape[1]} x {shape[2]} with {shape[0]} channels: {error}. "
            "Resize the images, or take 'small_cnn' or 'resnet18_cifar', which take any size."
        ) from error
    finally:
        backbone.train()
    if not isinstance(rows, Tensor) or rows.ndim != 2:
        got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        raise SpecError(f"the net {name!r} gives {got} for two images, expected one embedding each, (2, d).")
    return cast("int", rows.shape[1])
