"""A backbone pre-trained here, as a frozen encoder, with the statistics per item that its training kept."""

import json
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from querist import extras
from querist.arrays import Array, readonly
from querist.data.dataset import Dataset
from querist.encoders.base import Encoder, FittedEncoder, register
from querist.encoders.inference import one_torch_thread
from querist.errors import DataError
from querist.evidence.view import View
from querist.files import file_digest, write_bytes
from querist.registry import describe, digest
from querist.seeds import Seed

WHO = "encoder pretrained"
AGAIN = "Write it again, by querist pretrain or querist import-backbone."
WEIGHTS, CARD, TRACES = "weights.safetensors", "card.json", "traces"


@register("pretrained", cite="Chen, Kornblith, Norouzi & Hinton, ICML 2020; Chen & He, CVPR 2021")
@dataclass(frozen=True, kw_only=True)
class Pretrained(Encoder):
    """Runs images through a backbone that `querist pretrain` trained or `querist import-backbone` took over.

    In evaluation mode, on the clean images, normalised as in the training. Images of another size are resized to that
    of the training, whole and bilinearly; grey ones are repeated for a backbone of colour images, while colour images
    are refused by one of grey images.

    Attributes:
        path: folder of the backbone; ``~`` and ``$VARIABLES`` are resolved. Results record its content, not its place.
        device: where to compute; ``auto`` takes a graphics card if there is one. No part of results.
    """

    storage: ClassVar = "float16"

    path: str
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def identity(self) -> dict[str, object]:
        """Return what features and statistics depend on: the content of the weights and of the card.

        Raises:
            DataError: there is no backbone.
        """
        folder = self._folder()
        files = {"weights": file_digest(folder / WEIGHTS), "card": file_digest(folder / CARD)}
        return {"name": describe(self)["name"], **files}

    def require_items(self, dataset: Dataset) -> None:
        """Raise `DataError` if the backbone is one of grey images and the items are of colour."""
        grey = self._card().get("shape", [0])[0] == 1
        one = dataset.items[np.arange(min(1, len(dataset.items)))]
        if grey and one.dtype == np.uint8 and one.ndim == 4 and one.shape[3] > 1:
            raise DataError(
                f"{WHO}: the backbone in {self.path} was trained on grey images, and those of {dataset.name!r} have "
                f"{one.shape[3]} channels. Take one that was trained on colour images, or make these grey."
            )

    def fit(self, pool: View, seed: Seed) -> FittedEncoder:
        """Return the encoder ready to use; the pool is not looked at.

        Raises:
            DataError: there is no backbone, or it is damaged.
            MissingExtraError: torch is not installed.
            SpecError: there is no such device here.
        """
        folder = self._folder()
        extras.require(WHO, "deep", "torch", "lightning_fabric", "safetensors")
        from querist.nets.backbones import read_backbone
        from querist.nets.running import make_fabric

        backbone, card = read_backbone(folder)
        device = make_fabric(self.device).device
        return FittedPretrained(backbone.to(device).requires_grad_(False), card.normalise)

    def traces(self) -> tuple[str, ...]:
        """Return the names of the statistics per item that the training kept."""
        return tuple(sorted(self._about().get(TRACES, {})))

    def trace(self, name: str, dataset: Dataset) -> Array:
        """Return a statistic of `traces`, ``(N, t)`` float32, zeros for items that are not in the pool.

        Raises:
            DataError: there is none of this name, it was kept of another dataset, or its file is not what was kept.
        """
        about, path = self._about(), self._folder() / TRACES / f"{name}.npy"
        if name not in about.get(TRACES, {}):
            known = ", ".join(self.traces()) or "none"
            raise DataError(f"{WHO}: {self.path} kept no statistic {name!r} of its training; it kept {known}.")
        if about["dataset"]["images"] != images_fingerprint(dataset):
            raise DataError(
                f"{WHO}: {self.path} was trained on {about['dataset']['name']!r}, whose images, keys or splits are not "
                f"those of this dataset, {dataset.name!r}. Its statistics are of other items; its features can be used."
            )
        if not path.is_file() or file_digest(path) != about[TRACES][name]:
            raise DataError(f"{WHO}: {path} is not the file that the training wrote. Train it again.")
        return readonly(np.load(path, allow_pickle=False))

    def _folder(self) -> Path:
        folder = Path(os.path.expandvars(self.path)).expanduser()
        if not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
            raise DataError(
                f"{WHO}: expected a folder that querist pretrain wrote, or querist import-backbone, with {CARD} "
                f"and {WEIGHTS}, got {folder}. A training that was interrupted continues by the same command."
            )
        return folder

    def _card(self) -> dict[str, Any]:
        path = self._folder() / CARD
        try:
            card = json.loads(path.read_bytes())
            return card | {"about": card["about"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{WHO}: {path} is damaged: {error}. {AGAIN}") from error

    def _about(self) -> dict[str, Any]:
        about = self._card()["about"]
        if not isinstance(about, dict):
            raise DataError(f"{WHO}: {self._folder() / CARD} says nothing about where it comes from. {AGAIN}")
        return about


@dataclass(frozen=True, eq=False)
class FittedPretrained(FittedEncoder):
    """`Pretrained` with its backbone."""

    backbone: Any
    normalise: Any

    def encode(self, view: View) -> Array:
        """Return ``(n, d)`` float32 embeddings, row i depending on image i alone.

        Raises:
            DataError: the items are no images, or of colour for a backbone of grey ones.
        """
        from querist.nets.backbones import embed_backbone

        with one_torch_thread():
            return embed_backbone(self.backbone, self.normalise, view)


def images_fingerprint(dataset: Dataset) -> str:
    """Return a digest of the items of a dataset and of which of them are in the pool; labels are no part of it."""
    return digest([dataset.manifest.fingerprint, dataset.items.fingerprint])


def write_traces(folder: Path, traces: dict[str, Array], dataset: Dataset) -> dict[str, str]:
    """Write statistics of the pool, ``(n, t)`` by name, as files with a row per item; return digests by name.

    Raises:
        StoreError: the folder cannot be written.
    """
    digests = {}
    for name, rows in sorted(traces.items()):
        whole = np.zeros((len(dataset.manifest), rows.shape[1]), np.float32)
        whole[dataset.pool] = rows
        buffer = BytesIO()
        np.save(buffer, whole, allow_pickle=False)
        path = folder / TRACES / f"{name}.npy"
        write_bytes(path, buffer.getvalue())
        digests[name] = file_digest(path)
    return digests
