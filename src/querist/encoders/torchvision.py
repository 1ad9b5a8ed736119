"""Any image classifier of torchvision as a frozen encoder, with the transform of its weights."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from querist import extras
from querist.encoders.base import Encoder, FittedEncoder, register
from querist.encoders.hub import hash_digits, torch_file
from querist.encoders.inference import fitted_net
from querist.errors import DataError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.files import PIECE, file_digest, require_file
from querist.registry import describe
from querist.seeds import Seed

WHO = "encoder torchvision"
DEFAULT = "DEFAULT"
"""What torchvision calls the best weights of a model."""

AUXILIARY = ("googlenet", "inception_v3")

OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
"""Layers of dense nets as the files of torchvision name them; in its nets there is no second dot."""


@register("torchvision", cite="TorchVision maintainers, TorchVision: PyTorch's computer vision library, 2016")
@dataclass(frozen=True, kw_only=True)
class Torchvision(Encoder):
    """Runs images through a pretrained classifier of torchvision and keeps what its last linear layer is given.

    Images are resized, cropped and normalised as torchvision's own transform of the weights does. A local file gets the
    transform of the weights whose digest it has, and of the model's default weights if it is none of torchvision's.

    Attributes:
        model: torchvision's name of the architecture, such as ``resnet50``.
        weights: torchvision's name of weights of this model, such as ``IMAGENET1K_V2``, which are downloaded once to
            the cache of torch's hub; or a local .safetensors or PyTorch file, ``~`` and ``$VARIABLES`` resolved.
            Results record the content, not the place.
        size: side in pixels of the input; None takes that of the weights. Time grows with its square.
        batch: images per forward pass.
        device: where to compute; ``auto`` takes a graphics card if there is one. No part of results.
    """

    storage: ClassVar = "float16"

    model: str = "resnet50"
    weights: str = DEFAULT
    size: int | None = None
    batch: int = 16
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("size", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecError(f"expected {name} to be at least 1, got {value}.")

    def identity(self) -> dict[str, object]:
        """Return what features depend on: model, content of the weights, preprocessing; downloads the weights.

        Raises:
            DataError: the weights cannot be had.
            MissingExtraError: torchvision is not installed.
            UnknownNameError: torchvision has no such model, or the model no such weights.
        """
        file, entry = self._found()
        shown = {"model": self.model, "weights": file_digest(file), "input": _described(self._transform(entry))}
        return {"name": describe(self)["name"], **shown}

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; the pool is not looked at.

        Raises:
            DataError: the weights cannot be had, or are not of this model.
            MissingExtraError: torchvision is not installed.
            SpecError: there is no such device here, or the model does not take images of this size.
            UnknownNameError: torchvision has no such model, or the model no such weights.
        """
        file, entry = self._found()
        transform: Any = self._transform(entry)
        net = _loaded(self.model, file, transform.crop_size[0])

        def prepare(image: npt.NDArray[np.uint8]) -> Any:
            return transform(Image.fromarray(image))

        return fitted_net(net, prepare, batch=self.batch, device=self.device)

    def _found(self) -> tuple[Path, Any]:
        """Return where the weights are, and torchvision's entry of them."""
        extras.require(WHO, "deep", "torch", "torchvision", "lightning_fabric", "safetensors")
        from torchvision import models

        known = models.list_models(module=models)
        if self.model not in known:
            raise UnknownNameError("torchvision model", self.model, known)
        if self.model in AUXILIARY:
            raise SpecError(f"{WHO}: {self.model!r} has auxiliary heads; take timm's 'inception_v3', or another model.")
        entries: Any = models.get_model_weights(self.model)
        names = [*entries.__members__]
        if self.weights in names:
            entry = entries[self.weights]
            return torch_file(entry.url, WHO), entry
        if not Path(self.weights).suffix and not any(sign in self.weights for sign in "/\\~$"):
            raise UnknownNameError("weights", self.weights, names, f"torchvision's {self.model!r}, nor a file")
        file = require_file(self.weights, WHO, "a file of weights")
        content = _sha256(file, file_digest(file))
        theirs = [entry for entry in entries if content.startswith(hash_digits(entry.url) or "none")]
        return file, (theirs or [entries[DEFAULT]])[0]

    def _transform(self, entry: Any) -> Any:
        """Return torchvision's transform of weights, for another size in the same proportion of crop and image."""
        own = entry.transforms()
        if self.size is None:
            return own
        from torchvision.transforms._presets import ImageClassification

        resized = round(self.size * own.resize_size[0] / own.crop_size[0])
        return ImageClassification(
            crop_size=self.size, resize_size=resized, mean=tuple(own.mean), std=tuple(own.std),
            interpolation=own.interpolation, antialias=own.antialias,
        )  # fmt: skip


def _described(transform: Any) -> dict[str, object]:
    """Return how images become inputs, as JSON values."""
    return {
        "crop": list(transform.crop_size), "resize": list(transform.resize_size), "mean": list(transform.mean),
        "std": list(transform.std), "interpolation": transform.interpolation.value,
    }  # fmt: skip


def _loaded(model: str, file: Path, side: int) -> Any:
    """Return the network without its head, with the weights of a file."""
    import torch
    from torchvision.models import get_model

    from querist.nets.foreign import fill_backbone, read_weights
    from querist.nets.running import reproducible
    from querist.nets.tapped import last_linear

    state = read_weights(file, WHO)
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]  # as torchvision's own training script writes it
    with reproducible(Seed(0), torch.device("cpu")):
        net = get_model(model, weights=None, **({"image_size": side} if model.startswith("vit_") else {}))
    head = last_linear(net, f"torchvision's {model!r}")
    net.set_submodule(head, torch.nn.Identity())
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{WHO}: {file} holds no state dict of tensors. Save net.state_dict().")
    named = {OLD_DENSE.sub(r"\1\2.", name): value for name, value in state.items()}
    fill_backbone(net, named, (f"{head}.",), f"{WHO}: {file}, taken for weights of {model!r},")
    return net


@lru_cache(maxsize=16)
def _sha256(file: Path, _content: str) -> str:
    # The other digest is there to forget a file that was replaced.
    state = sha256()
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            state.update(piece)
    return state.hexdigest()
