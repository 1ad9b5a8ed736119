"""One of the processes of a fit on several devices: ``python -m querist.nets.rank RANK DEVICES KIND``, by `ranks.fit`.

It reads its job from standard input, which stays open for as long as its parent lives, and tells what it has to tell
in lines of JSON on standard output. Everything else it prints goes to standard error.
"""

import json
import os
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor
from torch._C._distributed_c10d import FileStore  # pyright: ignore[reportMissingModuleSource]

from querist.errors import FitError, QueristError
from querist.files import write_bytes
from querist.nets.checkpoints import fill
from querist.nets.dynamics import Examples
from querist.nets.net import Net
from querist.nets.running import quiet, reproducible
from querist.nets.synchronised import synchronised
from querist.nets.training import Trainer
from querist.progress import listening, recording
from querist.seeds import Seed

RESULT, ERROR, STORE = "result", "error", "store"
"""Files in the room of a fit."""


class Job(NamedTuple):
    """What a process is told."""

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


def work(job: Job, rank: int, devices: int, kind: Literal["cpu", "cuda"], say: Callable[..., None]) -> None:
    """Train, and leave weights and record in the room if this is the first process."""
    # Processes find one another through a file: a port could be taken by the time it is used.
    store = FileStore(str(job.room / STORE), devices)
    backend = "nccl" if kind == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=devices)
    with quiet():
        here = LightningEnvironment()
        fabric = Fabric(accelerator=kind, devices=devices, strategy="ddp", precision=job.precision, plugins=[here])
        fabric.launch()
    job.trainer.fabric = fabric
    train, held = (get_examples(job.room, name) for name in ("train", "validation"))
    if train is None:
        raise FitError(f"the examples of a fit on {devices} devices are gone from {job.room}.")
    with reproducible(job.seed, fabric.device), listening(partial(say, "tell")), recording(partial(say, "record")):
        net = cast("Net", synchronised(job.build(), fabric.device))
        fill(net, job.weights, "the process that started the fit")
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name not in job.frozen)
        trained = job.trainer.fit(net, train, job.seed, validation=held, folder=job.folder)
    if rank == 0:
        weights = {name: value.cpu() for name, value in net.state_dict().items()}
        (job.room / RESULT).write_bytes(pickle.dumps((weights, trained)))
    fabric.barrier()
    torch.distributed.destroy_process_group()


def main() -> int:
    """Do what the parent says; an error goes to a file of the room, for the parent to raise."""
    rank, devices, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # What libraries print must not get between the lines the parent reads.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(what: str, *news: Any) -> None:
        if rank == 0:
            print(json.dumps([what, *news]), file=out, flush=True)

    size = int.from_bytes(sys.stdin.buffer.read(8), "little")
    job: Job = pickle.loads(sys.stdin.buffer.read(size))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(job, rank, devices, "cuda" if kind == "cuda" else "cpu", say)
    except QueristError as error:
        write_bytes(job.room / f"{ERROR}-{rank}", pickle.dumps(error))
        return 1
    return 0


def _end_with_parent() -> None:
    os.read(0, 1)  # past the buffer of `sys.stdin`, whose lock an interpreter that ends would find taken
    os._exit(1)  # a collective that waits for another process hears of nothing gentler


if __name__ == "__main__":
    sys.exit(main())
