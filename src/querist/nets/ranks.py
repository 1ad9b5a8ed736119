"""One fit on several devices: a process for each, every batch shared between them, the weights back in the caller's."""

import copy
import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from querist.errors import FitError, SpecError
from querist.nets.dynamics import Examples
from querist.nets.net import Net
from querist.nets.rank import ERROR, RESULT, Job, put_examples
from querist.nets.run import Trained
from querist.nets.training import Trainer
from querist.progress import record, tell
from querist.seeds import Seed

POLL = 0.05
"""Seconds between two looks at whether all processes are alive."""

GRACE = 5.0
"""Seconds that the others have to say what went wrong after one process has failed."""


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
        _run(pickle.dumps(job), devices, trainer.fabric.device.type, room)
        # Written by a process of ours into a folder that nobody else can open.
        weights, trained = pickle.loads((room / RESULT).read_bytes())
    net.to(trainer.fabric.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    net.load_state_dict(weights)
    net.eval()
    return trained


def require_devices(device: torch.device, devices: int) -> None:
    """Raise `SpecError` unless there are so many; of a CPU there always are."""
    if devices < 1 or (device.type == "cuda" and devices > torch.cuda.device_count()):
        there = torch.cuda.device_count() if device.type == "cuda" else "any number"
        raise SpecError(f"Expected devices to be at least 1 and as many as there are ({there}), got {devices}.")


def require_importable(*parts: object) -> None:
    """Raise `SpecError` if another process could not import the class of an object, or not take it."""
    for part in parts:
        kind = type(part)
        if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
            raise SpecError(
                f"{kind.__qualname__} is defined in {kind.__module__!r}, which other processes do not import: move it "
                "to the top of a module of its own, or set devices = 1."
            )
        if isinstance(part, nn.Module) and is_parametrized(part):
            raise SpecError(
                f"{kind.__qualname__} has a parametrisation, such as weight normalisation, and cannot be sent to other "
                "processes: give `build`, which makes it there, or set devices = 1."
            )


def _run(job: bytes, devices: int, kind: str, room: Path) -> None:
    """Start the processes, pass on the news of the first, and wait for all."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(devices):
            command = [sys.executable, "-m", "querist.nets.rank", str(rank), str(devices), kind]
            with (room / f"stderr-{rank}").open("wb") as errors:
                started = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment(rank)
                )
            processes.append(started)
        for process in processes:
            # The pipe stays open: it closes when this process ends, and then the other one does.
            with suppress(OSError):  # it has ended already, which is seen below
                pipe = process.stdin
                if pipe is not None:
                    pipe.write(len(job).to_bytes(8, "little") + job)
                    pipe.flush()
        news: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        hearing = threading.Thread(target=_hear, args=(processes[0], news), daemon=True)
        hearing.start()
        _wait(processes, news, room)
        hearing.join()
        _pass_on(news)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


def _environment(rank: int) -> dict[str, str]:
    own = {"LOCAL_RANK": str(rank), "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    if sys.platform == "linux":
        # All processes are on this machine, whose own name need not resolve.
        own["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    return {**os.environ, **own}


def _hear(process: "subprocess.Popen[bytes]", news: "queue.SimpleQueue[list[Any]]") -> None:
    for line in process.stdout or ():
        news.put(json.loads(line))


def _pass_on(news: "queue.SimpleQueue[list[Any]]") -> None:
    """Tell, in this thread, what the first process told."""
    with suppress(queue.Empty):
        while True:
            match news.get_nowait():
                case ["tell", what, done, total]:
                    tell(what, done, total)
                case ["record", event, values]:
                    record(event, **values)
                case other:
                    raise FitError(f"the first process of a fit said {other!r}, which nobody understands.")


def _wait(processes: "list[subprocess.Popen[bytes]]", news: "queue.SimpleQueue[list[Any]]", room: Path) -> None:
    """Return when all processes are done; raise as soon as one has failed."""
    while True:
        ends = [process.poll() for process in processes]
        if any(ends):
            _raise_error(processes, room)
        _pass_on(news)
        if all(end == 0 for end in ends):
            return
        time.sleep(POLL)


def _raise_error(processes: "list[subprocess.Popen[bytes]]", room: Path) -> NoReturn:
    """Raise the error a process has written, or say what is known of its end."""
    late = time.monotonic() + GRACE
    while time.monotonic() < late and any(process.poll() is None for process in processes):
        if any(room.glob(f"{ERROR}-*")):
            break
        time.sleep(POLL)
    for path in sorted(room.glob(f"{ERROR}-*")):
        raise pickle.loads(path.read_bytes())
    told: list[str] = []
    for rank, process in enumerate(processes):
        if end := process.poll():
            how = f"was killed by signal {-end}" if end < 0 else f"ended with {end}"
            last = (room / f"stderr-{rank}").read_text(errors="replace").strip().splitlines()[-20:]
            told.append("\n".join([f"process {rank} of {len(processes)} {how}; the last it said:", *last]))
    raise FitError("a fit on several devices failed, for " + "\n".join(told))
