"""Any image model of timm as a frozen encoder, with its own preprocessing."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image

from querist import extras
from querist.encoders.base import Encoder, FittedEncoder, register
from querist.encoders.hub import hub_file
from querist.encoders.inference import fitted_net
from querist.errors import DataError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.files import file_digest, require_file
from querist.registry import describe
from querist.seeds import Seed

WHO = "encoder timm"
WEIGHTS = "model.safetensors"
"""The file that timm's repositories on the hub keep weights in."""


@register("timm", cite="Wightman, PyTorch Image Models, 2019; Oquab et al., DINOv2, TMLR 2024")
@dataclass(frozen=True, kw_only=True)
class Timm(Encoder):
    """Runs images through a pretrained model of timm and keeps the pooled features before its classifier.

    Images are resized, cropped and normalised as the model was trained. Weights come from the Hugging Face hub, where
    they are downloaded once, or from a local file.

    Attributes:
        model: timm's name for architecture and weights, such as ``resnet18.a1_in1k``.
        weights: a local .safetensors or PyTorch file instead of the hub; ``~`` and ``$VARIABLES`` are resolved. Results
            record its content, not its place.
        size: side in pixels of the input; None takes that of the model. Time grows with its square.
        batch: images per forward pass.
        device: where to compute; ``auto`` takes a graphics card if there is one. No part of results.
    """

    storage: ClassVar = "float16"

    model: str = "vit_small_patch14_dinov2.lvd142m"
    weights: str | None = None
    size: int | None = None
    batch: int = 16
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    def __post_init__(self) -> None:
        for name in ("size", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecError(f"expected {name} to be at least 1, got {value}.")

    def identity(self) -> dict[str, object]:
        """Return what features depend on: model, content of the weights, preprocessing; downloads the weights.

        Raises:
            DataError: the weights cannot be had.
            MissingExtraError: timm is not installed.
            UnknownNameError: timm has no such model.
        """
        weights = file_digest(self._file())
        return {"name": describe(self)["name"], "model": self.model, "weights": weights, "input": self._input()}

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; the pool is not looked at.

        Raises:
            DataError: the weights cannot be had, or are not of this model.
            MissingExtraError: timm is not installed.
            SpecError: there is no such device here.
            UnknownNameError: timm has no such model.
        """
        file = self._file()
        from timm.data.transforms_factory import create_transform

        net = _loaded(self.model, file, self._architecture())
        transform: Any = create_transform(**self._input(), is_training=False)

        def prepare(image: npt.NDArray[np.uint8]) -> Any:
            return transform(Image.fromarray(image))

        return fitted_net(net, prepare, batch=self.batch, device=self.device)

    def _config(self) -> Any:
        """Return what timm knows about the weights of the model."""
        extras.require(WHO, "deep", "torch", "torchvision", "timm")
        import timm

        config = timm.get_pretrained_cfg(self.model) if timm.is_model(self.model) else None
        if config is None:
            known = timm.list_models(pretrained=True)  # more than a thousand: only the nearest are worth showing
            near = get_close_matches(self.model, known, n=5, cutoff=0.5)
            raise UnknownNameError("timm model", self.model, near or [Timm.model, "resnet18.a1_in1k"])
        return config

    def _file(self) -> Path:
        """Return where the weights are."""
        config = self._config()
        if self.weights is not None:
            return require_file(self.weights, WHO, "a file of weights")
        if not config.hf_hub_id:
            raise DataError(
                f"{WHO}: timm has no weights of {self.model!r} on the hub. Name a local file in the setting 'weights', "
                "or choose another model."
            )
        return hub_file(config.hf_hub_id, config.hf_hub_filename or WEIGHTS, WHO)

    def _side(self) -> int:
        return self.size or int(self._config().input_size[-1])

    def _input(self) -> dict[str, Any]:
        """Return how images become inputs, as JSON values."""
        config = self._config()
        from timm.data.config import resolve_data_config

        found = resolve_data_config(pretrained_cfg=config.to_dict())
        side = self._side()
        kept = {name: found[name] for name in ("interpolation", "crop_pct", "crop_mode")}
        return {"input_size": [3, side, side], "mean": list(found["mean"]), "std": list(found["std"]), **kept}

    def _architecture(self) -> dict[str, Any]:
        """Return settings of the architecture: models made for one size are told another."""
        fixed = self._config().fixed_input_size
        return {"num_classes": 0} | ({"img_size": self._side()} if self.size and fixed else {})


def _loaded(model: str, file: Path, architecture: dict[str, Any]) -> Any:
    """Return the network with the weights of a file."""
    import timm
    import torch

    from querist.nets.foreign import DAMAGE, first_line

    def make(pretrained: bool) -> Any:
        overlay = {"file": str(file), "hf_hub_id": None, "url": ""} if pretrained else None
        with torch.random.fork_rng(devices=[]):  # first weights are drawn from the global generator
            torch.default_generator.manual_seed(0)
            return timm.create_model(model, pretrained=pretrained, pretrained_cfg_overlay=overlay, **architecture)

    try:
        net = make(pretrained=True)
    except DAMAGE as error:
        _refuse(model, file, first_line(error))
    # A file without a tensor leaves it as it was drawn, and timm does not mind: the classifier is always missing.
    drawn = dict(make(pretrained=False).named_parameters())
    absent = [
        name for name, value in net.named_parameters()
        if value.requires_grad and torch.equal(value, drawn[name]) and value.min() != value.max()
    ]  # fmt: skip
    if absent:
        _refuse(model, file, f"{len(absent)} of {len(drawn)} tensors are missing, such as {absent[0]}")
    return net


def _refuse(model: str, file: Path, problem: str) -> NoReturn:
    raise DataError(
        f"{WHO}: {file} does not hold the weights of {model!r}: {problem}. Expected a .safetensors file, or a state "
        "dict saved by torch.save, of this very model; timm.list_models(pretrained=True) lists timm's names."
    )
