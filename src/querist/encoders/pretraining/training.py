"""Pre-trains a backbone on the pool of a dataset, into a folder that is an encoder when it is done."""

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from querist import extras
from querist.arrays import Array
from querist.data.dataset import Dataset
from querist.encoders.pretrained import CARD, TRACES, Pretrained, images_fingerprint, write_traces
from querist.encoders.pretraining.base import Method
from querist.encoders.pretraining.rankings import write_rankings
from querist.errors import DataError, SpecError
from querist.evidence.view import View
from querist.files import write_bytes
from querist.registry import describe, digest
from querist.seeds import Seed

if TYPE_CHECKING:
    from torch import Tensor

    from querist.nets.images import Normalisation
    from querist.nets.tasks.base import Task

STATE, HISTORY, TASK, START = "state", "history.json", "task", "start"

Embed: TypeAlias = Callable[[View], Array]
Look: TypeAlias = Callable[[int, Embed], Mapping[str, float]]
"""What somebody measures after an epoch, counted from 1, given the embeddings ``(n, d)`` of any rows."""


class Done(NamedTuple):
    """A pre-training that is over."""

    history: list[dict[str, float]]
    """One entry per epoch: ``epoch`` from 1, ``loss``, ``feature_std`` as a share of 1 / sqrt(d), ``lr``, and looks."""
    traces: tuple[str, ...]
    """Names of the statistics per item that were kept."""
    notices: tuple[str, ...]
    """What a person must know about it."""


def pretrain(
    dataset: Dataset,
    method: Method,
    folder: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    look: Look = lambda _epoch, _embed: {},
) -> Done:
    """Train a backbone on the images of the pool; neither labels nor items outside of the pool are seen.

    The folder then holds the backbone (``weights.safetensors``, ``card.json``; see the encoder ``pretrained``), the
    whole task with its heads in ``task/``, ``traces/NAME.npy`` with a row per item, rankings and clusters by them (see
    `write_rankings`), ``history.json``, and in ``start/`` the same backbone at random weights, to compare with. A
    training that was killed continues with the same bits on the same device; one that is done is not done again. On
    several devices (`Method.devices`) there is a process for each, which reads a copy of the images in the folder for
    temporary files.

    Args:
        dataset: whose pool to learn from.
        method: a component of the registry of methods.
        folder: made if it is not there.
        seed: of weights, order and views.
        device: ``auto``, ``cpu`` or ``cuda``; no part of what is recorded, but bits differ between devices.
        look: what to measure after every epoch; it changes nothing.

    Raises:
        DataError: the folder holds another training, the items are no images of one size, or not of that of the
            backbone to begin with.
        FitError: the loss is not finite.
        MissingExtraError: torch or a library of the method is not installed.
        SpecError: there is no such device here, or the net does not take such images, or is not the one to begin with.
    """
    extras.require("querist pretrain", "deep", "torch", "lightning_fabric", "safetensors")
    import numpy as np
    import torch

    from querist.nets.backbones import BackboneCard, read_backbone, write_backbone
    from querist.nets.checkpoints import write_checkpoint
    from querist.nets.images import Normalisation, normalisation, read_images
    from querist.nets.net import build_net
    from querist.nets.pretraining import Pretrainer
    from querist.nets.pretraining_ranks import fit
    from querist.nets.running import make_fabric, reproducible

    images = {"name": dataset.name, "images": images_fingerprint(dataset)}
    about = {"method": method.identity(), "dataset": images, "seed": seed}
    if (folder / CARD).is_file():
        return _finished(folder, method, about)
    pool = View(dataset, dataset.pool)
    if len(pool) < 2:
        raise DataError(f"Expected a pool of at least two images to learn from, got {len(pool)} in {dataset.name!r}.")
    first = read_images(pool.take(np.arange(1)))[0]
    shape = (first.shape[2], *first.shape[:2])
    given, architecture, traces = method.initial(), method.net, {}
    if given is None:
        weights, normalise = None, normalisation(pool.take(np.arange(0)), pool)
    else:
        backbone, begun = read_backbone(given)
        weights, normalise = backbone.state_dict(), Normalisation(begun.mean, begun.std)
        architecture = _continued(given, begun.net, begun.shape, architecture, shape)
        if begun.about.get("dataset") == images:
            encoder = Pretrained(path=str(given))
            traces = {name: encoder.trace(name, dataset)[dataset.pool] for name in encoder.traces()}
    root = Seed(seed).child(dataset.name, "pretrain")
    fabric = make_fabric(device, method.precision)
    build = partial(begun_task, method, architecture, shape, len(pool), normalise, dataset.c)
    with reproducible(root.child("weights"), torch.device("cpu")):
        net = build_net(architecture, shape, 2)
    with reproducible(root.child("weights"), torch.device("cpu")):
        task = build(weights)
    card = BackboneCard(
        architecture, shape, net.head.in_features, normalise.mean, normalise.std, str(describe(method)["name"]), about
    )
    made = fit(
        Pretrainer(method, fabric, look), method.devices, task, pool, root, folder / STATE, digest(about), build
    )  # fmt: skip
    task.cpu()
    write_checkpoint(folder / TASK, dict(task.state_dict()), {"kind": "pre-training", **about})
    write_bytes(folder / HISTORY, json.dumps(made.history, indent=1, sort_keys=True).encode())
    write_backbone(folder / START, net.backbone, card._replace(method="none", about={"dataset": images, "seed": seed}))
    traces |= made.traces
    write_rankings(folder, traces, dataset)
    digests = write_traces(folder, traces, dataset)
    write_backbone(folder, task.backbone, card._replace(about={**about, TRACES: digests}))
    shutil.rmtree(folder / STATE, ignore_errors=True)
    return _finished(folder, method, about)


def _continued(folder: Path, net: str, shape: tuple[int, int, int], chosen: str, expected: tuple[int, int, int]) -> str:
    """Return the net of a backbone to begin with, if it is the chosen one and of such images."""
    if chosen not in ("", net):
        raise SpecError(f"the net of the backbone {folder} is {net!r}, not {chosen!r}: leave out net, it follows.")
    if shape != expected:
        raise DataError(
            f"the backbone {folder} is of images of {shape[1]} x {shape[2]} with {shape[0]} channels, these are of "
            f"{expected[1]} x {expected[2]} with {expected[0]}. Begin with one that was trained on images like these."
        )
    return net


def begun_task(
    method: Method,
    net: str,
    shape: tuple[int, int, int],
    n: int,
    normalise: "Normalisation",
    c: int,
    weights: "Mapping[str, Tensor] | None" = None,
) -> "Task":
    """Return what a method trains, its backbone with random weights or with those that are given."""
    from querist.nets.net import build_net
    from querist.nets.tasks.base import Start

    built = build_net(net, shape, 2)
    if weights is not None:
        built.backbone.load_state_dict(weights)
    return method.task(Start(built.backbone, built.head.in_features, shape, n, normalise, c))


def _finished(folder: Path, method: Method, about: Mapping[str, object]) -> Done:
    """Return what a training that is done recorded, if it is the one that is asked for."""
    try:
        found = json.loads((folder / CARD).read_bytes())["about"]
        history = json.loads((folder / HISTORY).read_bytes())
        traces = found[TRACES]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is damaged ({error!r}). Delete it, or choose another folder.") from error
    different = [name for name, value in about.items() if json.loads(json.dumps(value)) != found.get(name)]
    if different:
        raise DataError(
            f"{folder} holds another pre-training: its {' and '.join(different)} differ. Choose another folder, or "
            "delete this one to train anew."
        )
    return Done(history, tuple(sorted(traces)), (*_notices(history), *method.notices(history)))


def _notices(history: list[dict[str, float]]) -> tuple[str, ...]:
    from querist.nets.pretraining import COLLAPSED

    last = history[-1]["feature_std"]
    if last >= COLLAPSED:
        return ()
    return (
        f"Features collapsed: what the loss compares varies only {last:.2f} times as much as random directions. Lower "
        "lr, take a larger batch or stronger views, and look at the k-NN accuracy before anything is built on this.",
    )
