"""One of the processes of a training on several devices joins the others, and leaves them when all are done."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.strategy import Strategy
from torch._C._distributed_c10d import FileStore  # pyright: ignore[reportMissingModuleSource]

from querist.nets.rank import Say
from querist.nets.running import quiet
from querist.progress import listening, recording

STORE = "store"
"""File in the room of a training."""

PATIENCE = timedelta(days=1)
"""How long a process waits for the others. The parent sees it when one of them ends; the first may look or write."""


@contextmanager
def joined(
    rank: int,
    devices: int,
    kind: Literal["cpu", "cuda"],
    say: Say,
    room: Path,
    precision: Any,
    strategy: str | Strategy = "ddp",
) -> Iterator[Fabric]:
    """Within the block, run on the r-th of several devices and tell the parent all news; then wait for the others.

    After an error there is no waiting: the parent hears of it and ends them.

    Args:
        rank: which process this is.
        devices: how many there are.
        kind: of device.
        say: tells the parent.
        room: a folder that all of them share.
        precision: in the words of Fabric.
        strategy: how gradients come together.
    """
    # Processes find one another through a file: a port could be taken by the time it is used.
    store = FileStore(str(room / STORE), devices)
    backend = "nccl" if kind == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=PATIENCE, store=store, rank=rank, world_size=devices)
    with quiet():
        here = LightningEnvironment()
        fabric = Fabric(accelerator=kind, devices=devices, strategy=strategy, precision=precision, plugins=[here])
        fabric.launch()
    with listening(partial(say, "tell")), recording(partial(say, "record")):
        yield fabric
    fabric.barrier()
    torch.distributed.destroy_process_group()
