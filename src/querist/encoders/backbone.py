"""A frozen network from one local file of quantised convolutions, on the CPU."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from querist import extras
from querist.arrays import Array
from querist.encoders.base import Encoder, FittedEncoder, register
from querist.encoders.inference import encode_images
from querist.encoders.int8_chain import Layer, read_chain
from querist.encoders.resize import squash
from querist.errors import SpecError
from querist.evidence.view import View
from querist.files import file_digest, require_file
from querist.registry import describe
from querist.seeds import Seed

WHO = "encoder backbone"


@register("backbone", cite="Sandler et al., CVPR 2018; Howard et al., arXiv 1704.04861, 2017")
@dataclass(frozen=True, kw_only=True)
class Backbone(Encoder):
    """Runs images through a small network read from one local file of int8 convolutions, such as a MobileNet.

    The file's format is described in `querist.encoders.int8_chain`. Features are the global mean before the classifier.

    Attributes:
        path: the .npz file; ``~`` and ``$VARIABLES`` are resolved. Results record its content, not its place.
        size: side in pixels of the square to which every image is resized; twice the pixels take about twice as long.
        batch: images per forward pass; more take more memory, and hardly less time.
    """

    storage: ClassVar = "float16"

    path: str
    size: int = 128
    batch: int = 16

    def __post_init__(self) -> None:
        for name in ("size", "batch"):
            if getattr(self, name) < 1:
                raise SpecError(f"expected {name} to be at least 1, got {getattr(self, name)}.")

    def identity(self) -> dict[str, object]:
        """Return what features depend on: the content of the file and the size, neither its place nor the batch.

        Raises:
            DataError: there is no such file.
        """
        weights = file_digest(require_file(self.path, WHO, "a file of weights"))
        return {"name": describe(self)["name"], "weights": weights, "size": self.size}

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; the pool is not looked at.

        Raises:
            DataError: there is no such file, or it is of another format.
            MissingExtraError: torch is not installed.
        """
        layers = read_chain(require_file(self.path, WHO, "a file of weights"))
        extras.require(WHO, "deep", "torch")
        return FittedBackbone(layers, self.size, self.batch)


@dataclass(frozen=True, eq=False)
class FittedBackbone(FittedEncoder):
    """`Backbone` with its layers."""

    layers: tuple[Layer, ...]
    size: int
    batch: int

    def encode(self, view: View) -> Array:
        """Return ``(n, d)`` float32 features, d being the width of the last layer; row i depends on image i alone.

        Raises:
            DataError: the items are no images.
        """
        import torch

        # Channels beside one another in memory: on CPUs these networks are up to twice as fast.
        order = torch.channels_last
        tensors = [
            (torch.tensor(layer.weight).to(memory_format=order), torch.tensor(layer.bias)) for layer in self.layers
        ]

        def prepare(image: npt.NDArray[np.uint8]) -> Any:
            pixels = torch.tensor(squash(image, self.size)).permute(2, 0, 1)
            return pixels.float() / 127.5 - 1

        def forward(images: Any) -> Any:
            return run_chain(self.layers, tensors, images.to(memory_format=order)).mean((2, 3))

        return encode_images(
            view, batch=self.batch, width=len(self.layers[-1].weight), prepare=prepare, forward=forward
        )


def run_chain(layers: tuple[Layer, ...], tensors: list[tuple[Any, Any]], images: Any) -> Any:
    """Return the output ``(b, d, h, w)`` of the last layer for images ``(b, 3, h, w)`` in -1..1.

    Args:
        layers: of the chain.
        tensors: weight and bias of each as torch tensors.
        images: a torch tensor.
    """
    from torch.nn import functional

    inputs = []
    x = images
    kept = {layer.adds for layer in layers}
    for k, (layer, (weight, bias)) in enumerate(zip(layers, tensors, strict=True)):
        inputs.append(x if k in kept else None)
        x, around = _padding(x, weight, layer.stride)
        x = functional.conv2d(x, weight, bias, layer.stride, around, groups=layer.groups)
        if layer.relu6:
            x = x.clamp_(0, 6)
        if layer.adds is not None:
            x = x.add_(inputs[layer.adds])
            inputs[layer.adds] = None
    return x


def _padding(x: Any, weight: Any, stride: int) -> tuple[Any, tuple[int, int]]:
    """Return what a convolution needs for TensorFlow's SAME padding: its input, and zeros it adds on either side."""
    from torch.nn import functional

    missing = [
        max(0, (-(-pixels // stride) - 1) * stride + window - pixels)
        for pixels, window in zip(x.shape[2:], weight.shape[2:], strict=True)
    ]
    high, wide = missing
    if high % 2 == wide % 2 == 0:  # the convolution pads by itself, without a copy
        return x, (high // 2, wide // 2)
    return functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2)), (0, 0)
