"""Checkpoints of other systems as our backbones: names translated, heads dropped, every other name accounted for."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from querist.errors import DataError, SpecError, UnknownNameError
from querist.files import file_digest
from querist.nets.backbones import BackboneCard, write_backbone
from querist.nets.foreign import fill_backbone, read_weights
from querist.nets.net import build_net
from querist.nets.running import reproducible
from querist.seeds import Seed

State = Mapping[str, Tensor]


class Format(NamedTuple):
    """How a system writes its checkpoints."""

    holder: tuple[str, ...]
    """Where in the file the weights are: the first of these that is there; empty if the file is the weights."""
    backbone: tuple[str, ...]
    """What names of the backbone begin with: the first of these that any does."""
    rest: tuple[str, ...] = ()
    """What all other names begin with: copies, queues, projectors, predictors. They are dropped."""
    head: tuple[str, ...] = ("fc.",)
    """What names of the head begin with, once the beginning above is gone. They are dropped."""
    normalised: bool = True
    """Whether it normalises small images; otherwise they are in 0..1."""


FORMATS = {
    # He et al., arXiv 2003.04297, 2020: two encoders, of which the one for queries is kept, and a queue.
    "moco_v2": Format(("state_dict",), ("module.encoder_q.",), ("module.encoder_k.", "module.queue")),
    # Abbasi Koohpayegani, Tejankar & Pirsiavash, NeurIPS 2020: a student with a projection as wide as its teacher's.
    "compress": Format(("model", "state_dict"), ("module.", "")),
    # Chen & He, CVPR 2021: the projector takes the place of the classifier.
    "simsiam": Format(("state_dict",), ("module.encoder.", "encoder."), ("module.predictor.", "predictor.")),
    # Chen et al., ICML 2020, as its many rewritings and SCAN (Van Gansbeke et al., ECCV 2020) save it.
    "simclr": Format(
        ("state_dict", "model", "model_state_dict", ""),
        ("module.backbone.", "backbone.", "module.encoder.", "encoder."),
        tuple(
            prefix + name
            for prefix in ("module.", "")
            for name in ("contrastive_head.", "cluster_head.", "projection_head.", "projector.", "projection.", "head.")
        ),
        ("fc.", "linear."),
    ),
    # Munjal et al., CVPR 2022: classifiers trained on what was labelled, on images in 0..1.
    "torchal": Format(("model_state",), ("module.", ""), head=("fc.", "linear."), normalised=False),
}

DEPTHS = {
    ((2, 2, 2, 2), False): "resnet18", ((3, 4, 6, 3), False): "resnet34", ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101", ((3, 8, 36, 3), True): "resnet152",
}  # fmt: skip
"""ResNets by blocks in their four groups, and whether these are bottlenecks."""

CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Parts of a ResNet that was cut into its children, as is done to take its classifier away."""

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
PLAIN = (0.0,) * 3, (1.0,) * 3
LARGE, SMALL = 224, 32
"""Sides of images for nets with the stem of ImageNet, and for those with the stem for small images."""


def import_backbone(
    file: Path,
    form: str,
    folder: Path,
    *,
    net: str | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> BackboneCard:
    """Write the backbone of another system's checkpoint as one of ours, which is an encoder like any other.

    The net is a ResNet, told by the names and shapes of its weights, with the stem of ImageNet (then it takes images of
    224 pixels, normalised as usual there) or with a 3 x 3 stem of stride 1 for small images (then of 32 pixels). Every
    weight of the net comes from the file, and every name in the file is of the net or of the parts that its format
    drops.

    Args:
        file: never trusted: only tensors and plain values are read, no code in it runs.
        form: a key of `FORMATS`.
        folder: where to, see `querist.nets.backbones.write_backbone`.
        net: of another architecture, see `querist.nets.base.locate`, whose weights the file has under the same names.
        size: side of the images that it was trained on.
        mean: of each channel in 0..1, as in its training.
        std: of each channel in 0..1.

    Raises:
        DataError: the file is of another format, or a name is missing or unexpected; nothing was written.
        SpecError: a setting makes no sense.
        StoreError: the folder cannot be written.
        UnknownNameError: no such format or net.
    """
    if form not in FORMATS:
        raise UnknownNameError("format of checkpoints", form, FORMATS)
    what = f"{file}, taken for a checkpoint of {form!r},"
    state = backbone_state(read_weights(file, "import"), form, what)
    name, state = (net, state) if net else _as_resnet(state, what)
    small = name.endswith("_cifar")
    side = size or (SMALL if small else LARGE)
    usual = IMAGENET if not small else CIFAR if FORMATS[form].normalised else PLAIN
    mean, std = tuple(mean or usual[0]), tuple(std or usual[1])
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0 or max(*mean, *std) > 1:
        raise SpecError(f"expected mean and std of three channels in 0..1, got {mean} and {std}.")
    shape = (3, side, side)
    with reproducible(Seed(0), torch.device("cpu")):
        whole = build_net(name, shape, 2)
    fill_backbone(whole.backbone, state, (), what)
    about = {"imported": {"format": form, "content": file_digest(file)}}
    scaled = (tuple(255 * value for value in values) for values in (mean, std))
    card = BackboneCard(name, shape, whole.head.in_features, *scaled, method=form, about=about)
    write_backbone(folder, whole.backbone, card)
    return card


def backbone_state(content: Any, form: str, what: str) -> dict[str, Tensor]:
    """Return the weights of the backbone in a checkpoint, under the names they have inside it.

    Args:
        content: of the file.
        form: a key of `FORMATS`.
        what: what an error message calls it.

    Raises:
        DataError: it is not of this format: no weights where they belong, or a name that the format does not know.
    """
    holder, beginnings, rest, head, _ = FORMATS[form]
    found = next((_held(content, key) for key in holder if _held(content, key)), None)
    if found is None:
        keys = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        places = " or ".join(repr(key) for key in holder if key)
        raise DataError(f"{what} has no weights under {places}; it holds {keys or 'nothing'}. {_OTHERS}")
    begin = next((text for text in beginnings if any(name.startswith(text) for name in found)), None)
    if begin is None:
        places = " or ".join(map(repr, beginnings))
        raise DataError(f"{what} has no name that begins with {places}; it has {', '.join(list(found)[:3])}. {_OTHERS}")
    foreign = [name for name in found if not name.startswith((begin, *rest))]
    if foreign:
        raise DataError(f"{what} has {len(foreign)} unexpected names, such as {foreign[0]}. {_OTHERS}")
    inside = {name[len(begin) :]: value for name, value in found.items() if name.startswith(begin)}
    kept = {name: value for name, value in inside.items() if not name.startswith((*head, *rest))}
    broken = [name for name, value in kept.items() if not torch.isfinite(value).all()]
    if broken:
        raise DataError(f"{what} has weights that are not finite: {', '.join(broken[:3])}. Its training diverged.")
    return kept


_OTHERS = f"Expected one of this very format; the formats are {', '.join(FORMATS)}."


def _held(content: Any, key: str) -> State | None:
    """Return the tensors by name under a key of a file; nothing if it holds anything else there."""
    state = content if not key else content.get(key) if isinstance(content, Mapping) else None
    ok = isinstance(state, Mapping) and state and all(isinstance(value, Tensor) for value in state.values())
    return state if ok else None  # pyright: ignore[reportReturnType]


def _as_resnet(state: State, what: str) -> tuple[str, dict[str, Tensor]]:
    """Return which ResNet weights are of, and them under the names they have in ours."""
    first = {name.split(".")[0] for name in state}
    if first == set(CHILDREN):
        state = {CHILDREN[(parts := name.partition("."))[0]] + "." + parts[2]: value for name, value in state.items()}
    groups = [{name.split(".")[1] for name in state if name.startswith(f"layer{k}.")} for k in (1, 2, 3, 4)]
    counts = tuple(map(len, groups))
    name = DEPTHS.get((counts, "layer1.0.conv3.weight" in state))  # pyright: ignore[reportArgumentType]
    stem = state.get("conv1.weight")
    if name is None or stem is None or stem.ndim != 4:
        raise DataError(
            f"{what} is of no ResNet that is known here: blocks {counts}, first names {', '.join(list(state)[:3])}. "
            "Name the net whose weights it has under the same names: --net torchvision/vgg16_bn, say."
        )
    if stem.shape[2] != 3:
        renamed = {re.sub(r"\.shortcut\.", ".downsample.", key): value for key, value in state.items()}
        return f"torchvision/{name}", renamed
    return f"{name}_cifar", {_for_small(key, counts): value for key, value in state.items()}


def _for_small(name: str, counts: Sequence[int]) -> str:
    """Return what a weight is called in `querist.nets.resnet_cifar`; unknown names stay, to be refused later."""
    parts = name.split(".")
    if parts[0] in ("conv1", "bn1"):
        return ".".join(["stem", "0" if parts[0] == "conv1" else "1", *parts[1:]])
    group = re.fullmatch(r"layer([1-4])\.(\d+)\.(\w+)\.(.+)", name)
    if group is None:
        return name
    k, block, part, last = int(group[1]), int(group[2]), group[3], group[4]
    layer = {"downsample": "shortcut", "shortcut": "shortcut"}.get(part)
    if inner := re.fullmatch(r"(conv|bn)([123])", part):
        layer = f"residual.{3 * (int(inner[2]) - 1) + (inner[1] == 'bn')}"
    return f"blocks.{sum(counts[: k - 1]) + block}.{layer or part}.{last}"
