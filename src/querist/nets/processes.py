"""Work on several devices: a process for each, news passed on, and all of them ended however the work ends."""

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from querist.errors import FitError, SpecError
from querist.nets.rank import ERROR, Task
from querist.progress import record, tell

POLL = 0.05
"""Seconds between two looks at whether all processes are alive."""

GRACE = 5.0
"""Seconds that the others have to say what went wrong after one process has failed."""


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


def run(task: Task, devices: int, kind: str, step: Callable[[], bool] | None = None) -> None:
    """Do a task in processes started with this interpreter: pass on the news of the first, and wait for all.

    None of them imports the program that calls, so a plain script can use it, and they end when the caller does,
    however it ends.

    Args:
        task: what each of them does.
        devices: how many processes.
        kind: of device, ``cpu`` or ``cuda``; process r has the r-th graphics card.
        step: called again and again until all are done, for the part that this process has in the work; returns
            whether it did anything.

    Raises:
        FitError: a process ended; says how, and the last that it said.
        QueristError: what a process has raised.
    """
    job, room = pickle.dumps(task), task.room
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
        _wait(processes, news, room, step)
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
                    raise FitError(f"the first process said {other!r}, which nobody understands.")


def _wait(
    processes: "list[subprocess.Popen[bytes]]",
    news: "queue.SimpleQueue[list[Any]]",
    room: Path,
    step: Callable[[], bool] | None,
) -> None:
    """Return when all processes are done; raise as soon as one has failed."""
    while True:
        ends = [process.poll() for process in processes]
        if any(ends):
            _raise_error(processes, room)
        _pass_on(news)
        if all(end == 0 for end in ends):
            return
        if step is None or not step():
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
    told.append("Free memory if there was too little of it, or set devices = 1, and start again.")
    raise FitError("work on several devices failed, for " + "\n".join(told))
