"""Vision models of Hugging Face transformers as frozen encoders, with the preprocessing of their image processors."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from querist import extras
from querist.encoders.base import Encoder, FittedEncoder, register
from querist.encoders.hub import find_on_hub, hub_file
from querist.encoders.inference import fitted_net
from querist.errors import DataError, SpecError, UnknownNameError
from querist.evidence.view import View
from querist.files import file_digest
from querist.registry import describe
from querist.seeds import Seed

WHO = "encoder transformers"
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX, OLD = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
INSTEAD = "name the folder of the repository's files in the setting 'model'"


class Family(NamedTuple):
    """What there is to know about a kind of vision model."""

    title: str
    """Of its class in transformers."""
    pool: Literal["cls", "mean", "pooler"]
    """What its authors take for the feature of an image."""
    has_cls: bool = True
    """Whether its first token is of the whole image."""


FAMILIES = {
    "dinov2": Family("Dinov2Model", "cls"),
    "dinov2_with_registers": Family("Dinov2WithRegistersModel", "cls"),
    "dinov3_vit": Family("DINOv3ViTModel", "cls"),
    "dinov3_convnext": Family("DINOv3ConvNextModel", "pooler"),
    "vit": Family("ViTModel", "cls"),
    "clip": Family("CLIPVisionModel", "pooler"),
    "clip_vision_model": Family("CLIPVisionModel", "pooler"),
    "siglip": Family("SiglipVisionModel", "pooler", has_cls=False),
    "siglip_vision_model": Family("SiglipVisionModel", "pooler", has_cls=False),
}
"""By what config.json calls ``model_type``."""


@register(
    "transformers",
    cite="Wolf et al., EMNLP 2020; Oquab et al., DINOv2, TMLR 2024; Radford et al., CLIP, ICML 2021; Zhai et al., "
    "SigLIP, ICCV 2023",
)
@dataclass(frozen=True, kw_only=True)
class Transformers(Encoder):
    """Runs images through a vision model of transformers: DINOv2, DINOv3, ViT, or the image half of CLIP or SigLIP.

    Images are prepared as the model's own preprocessor_config.json says. Every weight of the model has to be in its
    files.

    Attributes:
        model: name on the Hugging Face hub, whence it is downloaded once, or a local folder that ``save_pretrained``
            wrote; ``~`` and ``$VARIABLES`` are resolved. Results record the content, not the place.
        pool: the feature of an image: ``cls``, the first token after the last layer; ``mean``, the mean over the tokens
            of the patches, without the first one and registers; ``pooler``, what the model calls its pooled output: of
            CLIP the first token normalised, of SigLIP its attention pooling, of ViT a layer trained with its
            classifier. ``auto`` is what the authors of the model take: ``pooler`` for CLIP, SigLIP and convolutional
            DINOv3, ``cls`` for the others.
        batch: images per forward pass.
        device: where to compute; ``auto`` takes a graphics card if there is one. No part of results.
    """

    storage: ClassVar = "float16"

    model: str = "facebook/dinov2-small"
    pool: Literal["auto", "cls", "mean", "pooler"] = "auto"
    batch: int = 16
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise SpecError(f"expected batch to be at least 1, got {self.batch}.")

    def identity(self) -> dict[str, object]:
        """Return what features depend on: content of weights and configuration, and pooling; downloads the model.

        Raises:
            DataError: the model cannot be had.
            MissingExtraError: transformers is not installed.
            SpecError: the model has no such pooling.
            UnknownNameError: it is of another family.
        """
        files = model_files(self.model, WHO)
        return {"name": describe(self)["name"], "pool": self._pool(files[CONFIG])[1], "files": digests(files)}

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; the pool is not looked at.

        Raises:
            DataError: the model cannot be had, or a weight is missing.
            MissingExtraError: transformers is not installed.
            SpecError: there is no such device here, or the model has no such pooling.
            UnknownNameError: it is of another family.
        """
        config = model_files(self.model, WHO)[CONFIG]
        family, pooled = self._pool(config)
        from querist.nets.hugging_face import Pooled, load_model

        # A vision transformer without its classifier has no pooling layer, and files of one have no weights of it.
        settings = {"add_pooling_layer": False} if family.title == "ViTModel" and pooled != "pooler" else {}
        model: Any = load_model(config.parent, family.title, WHO, **settings)
        skipped = family.has_cls + getattr(model.config, "num_register_tokens", 0)
        net = Pooled(model, pooled, skipped)
        return fitted_net(net, preparation(config.parent, WHO), batch=self.batch, device=self.device)

    def _pool(self, config: Path) -> tuple[Family, str]:
        """Return the family of the model and the pooling it gets."""
        family = FAMILIES.get(kind := model_type(config, WHO))
        if family is None:
            raise UnknownNameError("family of vision models", kind, FAMILIES, self.model)
        if self.pool == "cls" and not family.has_cls:
            raise SpecError(f"{WHO}: a {kind!r} has no token of the whole image: set pool to 'pooler' or 'mean'.")
        return family, family.pool if self.pool == "auto" else self.pool


def model_files(model: str, who: str, others: tuple[str, ...] = ()) -> dict[str, Path]:
    """Return the files of a model by name, all in one folder; those of the hub are downloaded unless they are cached.

    Args:
        model: a folder, or a repository of the hub.
        who: wants them, for error messages.
        others: files it has to have besides configuration, preprocessing and weights.

    Raises:
        DataError: one of them is not there or not to be had.
        MissingExtraError: transformers is not installed.
    """
    extras.require(who, "hf", "torch", "transformers", "lightning_fabric", "safetensors")
    folder = Path(os.path.expandvars(model)).expanduser()
    is_local = folder.is_dir() or model.startswith((".", "/", "~", "$")) or model.count("/") != 1

    def get(name: str) -> Path:
        if not is_local:
            return hub_file(model, name, who, INSTEAD)
        if not (folder / name).is_file():
            raise DataError(
                f"{who}: expected {name} in the folder {folder}, but there is none. Name a folder that save_pretrained "
                "wrote, of the model and of its image processor, or a model of the hub such as 'facebook/dinov2-small'."
            )
        return folder / name

    def has(name: str) -> bool:
        return (folder / name).is_file() if is_local else isinstance(find_on_hub(model, name), Path)

    files = {name: get(name) for name in (CONFIG, PREPROCESSOR, *others)}
    if has(WEIGHTS):
        return files | {WEIGHTS: get(WEIGHTS)}
    if has(INDEX):
        shards = _read_json(get(INDEX), who).get("weight_map", {}).values()
        return files | {name: get(name) for name in (INDEX, *sorted(set(shards)))}
    return files | ({OLD: get(OLD)} if has(OLD) else {WEIGHTS: get(WEIGHTS)})


def digests(files: dict[str, Path]) -> dict[str, str]:
    """Return a digest of the content of every file, by name."""
    return {name: file_digest(path) for name, path in sorted(files.items())}


def model_type(config: Path, who: str) -> str:
    """Return the family that a config.json names."""
    return str(_read_json(config, who).get("model_type"))


def preparation(folder: Path, who: str) -> Any:
    """Return a model's own preprocessing, a function of RGB images ``(h, w, 3)`` uint8 to inputs."""
    from querist.nets.hugging_face import load_processor, prepare

    processor = load_processor(folder, who)

    def prepared(image: npt.NDArray[np.uint8]) -> Any:
        return prepare(processor, Image.fromarray(image))

    return prepared


def _read_json(path: Path, who: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{who}: {path} is damaged: {error}. Download it again.") from error
    if not isinstance(found, dict):
        raise DataError(f"{who}: expected a JSON object in {path}, got a {type(found).__name__}.")
    return found
