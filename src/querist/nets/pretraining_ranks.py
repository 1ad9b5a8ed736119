"""One pre-training on several devices: a process for each, every batch shared between them, the task back here."""

import copy
import json
import pickle
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from querist.arrays import Array, Ids, Rows, readonly
from querist.evidence.view import View
from querist.files import refuse_write, write_bytes
from querist.nets.checkpoints import fill, read_state, write_state
from querist.nets.images import Images, read_images
from querist.nets.joining import joined
from querist.nets.pretraining import Look, Pretrainer, Pretraining, embedding_of, require_shares
from querist.nets.processes import require_devices, require_importable, run
from querist.nets.rank import Say
from querist.nets.running import reproducible
from querist.nets.scoring import CHUNK_BYTES
from querist.nets.standing import tensors_of
from querist.nets.synchronised import synchronised
from querist.nets.tasks.base import Task
from querist.progress import tell
from querist.seeds import Seed

IMAGES, RESULT, SEEN, ANSWER = "images.npy", "result", "seen.safetensors", "answer.json"
"""Files in the room of a pre-training."""

KIND = "look"

PAUSE = 0.01
"""Seconds between two looks of a process at whether there is an answer."""


def fit(
    pretrainer: Pretrainer,
    devices: int,
    task: Task,
    pool: View,
    seed: Seed,
    folder: Path,
    identity: str,
    build: Callable[[], Task],
) -> Pretraining:
    """Train `task` as `pretrainer.fit` does, on several devices: graphics cards, or processes of the CPU.

    Batch and learning rate belong to all devices together: every one takes its share of the very same views of the very
    same batches, batch normalisation has the statistics of the whole batch, losses compare all of its images, and
    gradients are added up. So more devices give the same weights up to rounding, as long as nothing in the net is
    random: dropout differs from device to device.

    What is looked at after an epoch is looked at here, while the processes wait.

    Args:
        pretrainer: on the kind of device that is meant; its fabric names the precision too.
        devices: how many; with one, this is `pretrainer.fit`.
        task: with initial weights; trained in place.
        pool: images, of which the processes read a copy on disk.
        seed: as in `Pretrainer.fit`.
        folder: as there.
        identity: as there; of the number of devices too, for a state is gone on with by any.
        build: importable function, or a partial of one, that makes such a task in another process, with any weights.

    Raises:
        DataError: as `Pretrainer.fit`.
        FitError: the loss is not finite, or a process ended.
        SpecError: there are not as many devices, a batch has fewer images than that, or something is not importable.
        StoreError: the folder for temporary files is full.
    """
    if devices == 1:
        return pretrainer.fit(task, pool, seed, folder, identity)
    device = pretrainer.fabric.device
    require_devices(device, devices)
    require_shares(pretrainer.passes, len(pool), devices)
    require_importable(pretrainer, pretrainer.passes, task)
    with tempfile.TemporaryDirectory(prefix="querist-pretraining-") as name:
        room = Path(name)
        put_images(room, pool)
        alone = copy.copy(pretrainer)
        del alone.fabric, alone.look
        tensors = {name: value.detach().cpu() for name, value in tensors_of(task)}
        precision = pretrainer.fabric.strategy.precision.precision
        job = Job(alone, build, tensors, seed, folder.absolute(), identity, room, precision)
        task.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        run(job, devices, device.type, Answering(room, task, pretrainer.look, seed).step)
        # Written by a process of ours into a folder that nobody else can open.
        tensors, made = pickle.loads((room / RESULT).read_bytes())
    put(task, tensors)
    task.eval()
    return made


class Job(NamedTuple):
    """A pre-training."""

    pretrainer: Pretrainer
    """Without a fabric, and without what looks."""
    build: Callable[[], Task]
    """Makes the task, with any weights."""
    tensors: Mapping[str, Tensor]
    """Parameters and buffers it starts from, on the CPU."""
    seed: Seed
    folder: Path
    """Of the state of the training."""
    identity: str
    room: Path
    """Of images, looks, results and errors, for the time of the training."""
    precision: Any

    def work(self, rank: int, devices: int, kind: Literal["cpu", "cuda"], say: Say) -> None:
        """Train, and leave weights and record in the room if this is the first process."""
        # Buffers are the same on all devices by themselves, and some, such as a queue of negatives, are large.
        strategy = DDPStrategy(broadcast_buffers=False)
        with joined(rank, devices, kind, say, self.room, self.precision, strategy) as fabric:
            with reproducible(self.seed, fabric.device):
                task = cast("Task", synchronised(self.build(), fabric.device))
                put(task, self.tensors)
            self.pretrainer.fabric = fabric
            self.pretrainer.look = Asking(self.room, task.backbone) if rank == 0 else _nothing
            images = np.load(self.room / IMAGES, mmap_mode="r", allow_pickle=False)
            pool = OnDisk(np.arange(len(images)), images)
            made = self.pretrainer.fit(task, pool, self.seed, self.folder, self.identity)
            if rank == 0:
                tensors = {name: value.detach().cpu() for name, value in tensors_of(task)}
                (self.room / RESULT).write_bytes(pickle.dumps((tensors, made)))


# ---------------------------------------------------------------------------------------------------------------- looks


class Asking(NamedTuple):
    """What looks in the first process: it sends the backbone to the parent, and waits for what that has seen."""

    room: Path
    backbone: nn.Module

    def __call__(self, epoch: int, _: object) -> Mapping[str, float]:
        """Return what the parent measured."""
        write_state(self.room / SEEN, self.backbone.state_dict(), {"kind": KIND, "epoch": epoch})
        answer = self.room / ANSWER
        while not answer.exists():
            time.sleep(PAUSE)
        values = json.loads(answer.read_bytes())
        answer.unlink()
        return values


class Answering(NamedTuple):
    """The parent's part: it looks at backbones as they come."""

    room: Path
    task: Task
    """Whose backbone takes the weights that come."""
    look: Look
    seed: Seed

    def step(self) -> bool:
        """Look, if there is something to look at; return whether there was."""
        sent, backbone = self.room / SEEN, self.task.backbone
        if not sent.exists():
            return False
        weights, card = read_state(sent, KIND)
        fill(backbone, weights, "the process that trains it")
        sent.unlink()
        with reproducible(self.seed.child("look", card["epoch"]), next(backbone.parameters()).device):
            values = self.look(card["epoch"], embedding_of(backbone, self.task.normalise))
        write_bytes(self.room / ANSWER, json.dumps(dict(values)).encode())
        return True


def _nothing(_epoch: int, _embed: Callable[[View], Array]) -> Mapping[str, float]:
    return {}


# ----------------------------------------------------------------------------------------------------- there and back


@torch.no_grad()
def put(task: Task, tensors: Mapping[str, Tensor]) -> None:
    """Set all parameters and buffers of a task."""
    for name, value in tensors_of(task):
        value.copy_(tensors[name])


class OnDisk(View):
    """Rows of a pool that another process has; what is not read stays on the disk.

    Args:
        ids: places in the pool.
        images: of the whole pool.
    """

    def __init__(self, ids: Ids, images: Images) -> None:
        self.ids, self._images = readonly(ids), images

    def items(self) -> npt.NDArray[Any]:
        return self._images[self.ids]

    def take(self, rows: Rows) -> "OnDisk":
        return OnDisk(self.ids[rows], self._images)


def put_images(room: Path, pool: View) -> None:
    """Write the images of a pool for all processes to share, a part at a time.

    Raises:
        StoreError: the disk is full.
    """
    first = read_images(pool.take(np.arange(1)))
    shape = (len(pool), *first.shape[1:])
    path, done = room / IMAGES, 0
    try:
        # Not through memory that is mapped to a file: where the disk is full, that ends the process without a word.
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for part in pool.stream(max(1, CHUNK_BYTES // first.nbytes)):
                file.write(read_images(part).tobytes())
                done += len(part)
                tell("sharing images", done, len(pool))
    except OSError as error:
        refuse_write(path, error)
