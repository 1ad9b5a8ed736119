"""One fit on several devices: a process for each, every batch shared between them, the weights back in the caller's."""

import copy
import pickle
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from querist.errors import FitError
from querist.nets.checkpoints import fill
from querist.nets.dynamics import Examples
from querist.nets.joining import joined
from querist.nets.net import Net
from querist.nets.processes import require_devices, require_importable, run
from querist.nets.rank import Say
from querist.nets.run import Trained
from querist.nets.running import reproducible
from querist.nets.synchronised import synchronised
from querist.nets.training import Trainer
from querist.seeds import Seed

RESULT = "result"
"""File in the room of a fit."""


def fit(
    trainer: Trainer,
    devices: int,
    net: Net,
    train: Examples,
    seed: Seed,
    *,
    validation: Examples | None = None,
    folder: Path | None = None,
    build: Callable[[], Net] | None = None,
) -> Trained:
    """Train `net` as `trainer.fit` does, on several devices: graphics cards, or processes of the CPU.

    Batch and learning rate belong to all devices together: every one takes its share of the very same batches, batch
    normalisation has the statistics of the whole batch, and gradients are added up. So more devices give the same
    weights up to rounding, as long as nothing in the net is random: dropout differs from device to device.

    Processes are started with this interpreter, and none of them imports the program that calls, so a plain script can
    use it. They end when the caller does, however it ends.

    Args:
        trainer: on the kind of device that is meant; its fabric names the precision too.
        devices: how many; with one, this is `trainer.fit`.
        net: trained in place; its classes have to be importable.
        train: as in `Trainer.fit`.
        seed: as in `Trainer.fit`.
        validation: as in `Trainer.fit`.
        folder: as in `Trainer.fit`; a state of another number of devices is not gone on with.
        build: importable function, or a partial of one, that makes such a net in another process, with any weights. By
            default the net itself is sent, which nets with weight normalisation, for one, do not survive.

    Raises:
        FitError: the loss is not finite, or a process ended.
        SpecError: there are not as many devices, or a class of the net is not importable; and as `Trainer.fit`.
    """
    if devices == 1:
        return trainer.fit(net, train, seed, validation=validation, folder=folder)
    require_devices(trainer.fabric.device, devices)
    require_importable(trainer, *(() if build else net.modules()))
    with tempfile.TemporaryDirectory(prefix="querist-ranks-") as name:
        room = Path(name)
        put_examples(room, "train", train)
        if validation is not None:
            put_examples(room, "validation", validation)
        alone = copy.copy(trainer)
        del alone.fabric
        job = Job(
            trainer=alone,
            build=build or partial(copy.deepcopy, copy.deepcopy(net).cpu()),
            weights={name: value.cpu() for name, value in net.state_dict().items()},
            frozen=frozenset(name for name, value in net.named_parameters() if not value.requires_grad),
            seed=seed,
            folder=folder and folder.absolute(),
            room=room,
            precision=trainer.fabric.strategy.precision.precision,
        )
        run(job, devices, trainer.fabric.device.type)
        # Written by a process of ours into a folder that nobody else can open.
        weights, trained = pickle.loads((room / RESULT).read_bytes())
    net.to(trainer.fabric.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    net.load_state_dict(weights)
    net.eval()
    return trained


class Job(NamedTuple):
    """A fit."""

    trainer: Trainer
    """Without a fabric."""
    build: Callable[[], Net]
    """Makes the net, with any weights."""
    weights: Mapping[str, Tensor]
    """Those it starts from, on the CPU."""
    frozen: frozenset[str]
    """Parameters that ask for no gradient."""
    seed: Seed
    folder: Path | None
    """Of the state of the fit."""
    room: Path
    """Of arrays, results and errors, for the time of the fit."""
    precision: Any

    def work(self, rank: int, devices: int, kind: Literal["cpu", "cuda"], say: Say) -> None:
        """Train, and leave weights and record in the room if this is the first process."""
        with joined(rank, devices, kind, say, self.room, self.precision) as fabric:
            self.trainer.fabric = fabric
            train, held = (get_examples(self.room, name) for name in ("train", "validation"))
            if train is None:
                raise FitError(f"the examples of a fit on {devices} devices are gone from {self.room}.")
            with reproducible(self.seed, fabric.device):
                net = cast("Net", synchronised(self.build(), fabric.device))
                fill(net, self.weights, "the process that started the fit")
                for name, parameter in net.named_parameters():
                    parameter.requires_grad_(name not in self.frozen)
                trained = self.trainer.fit(net, train, self.seed, validation=held, folder=self.folder)
            if rank == 0:
                weights = {name: value.cpu() for name, value in net.state_dict().items()}
                (self.room / RESULT).write_bytes(pickle.dumps((weights, trained)))


def put_examples(room: Path, name: str, examples: Examples) -> None:
    """Write images and labels for all processes to share."""
    for title, array in zip(("images", "labels"), examples, strict=True):
        np.save(room / f"{name}-{title}.npy", array, allow_pickle=False)


def get_examples(room: Path, name: str) -> Examples | None:
    """Return them; the memory of images is that of the file, once for all processes."""
    if not (room / f"{name}-labels.npy").exists():
        return None
    images = np.load(room / f"{name}-images.npy", mmap_mode="r", allow_pickle=False)
    return Examples(images, np.load(room / f"{name}-labels.npy", allow_pickle=False))
