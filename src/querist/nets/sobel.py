"""A front end that takes colour away: a net sees the edges of an image and nothing else."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from querist.nets.base import nets, register
from querist.nets.net import build_backbone


@register("sobel", cite="Bojanowski & Joulin, ICML 2017; an option of Simeoni et al., ICPR 2020")
def sobel(channels: int, net: Any = "cnn13") -> nn.Module:
    """Another net on the two Sobel derivatives of the mean of all channels; e.g. ``sobel(resnet18_cifar)``.

    The filters are fixed. Colour cannot be used, so clusters of such embeddings follow shapes.

    Args:
        channels: of the images.
        net: that reads the two derivatives: one of ours or of timm; names with a slash in quotes.
    """
    inner = nets.build({**net, "channels": 2}) if isinstance(net, Mapping) else build_backbone(str(net), 2)
    return nn.Sequential(Sobel(), inner)


class Sobel(nn.Module):
    """Images ``(b, channels, h, w)`` to their derivatives across and down, ``(b, 2, h, w)``."""

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        # Not stored with the weights: it is a constant.
        self.register_buffer("filters", torch.stack([across, across.T]).unsqueeze(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x.mean(dim=1, keepdim=True), self.filters, padding=1)
