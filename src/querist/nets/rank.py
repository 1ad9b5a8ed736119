"""One of the processes of a task on several devices: ``python -m querist.nets.rank RANK DEVICES KIND``.

`processes.run` starts it. It reads its task from standard input, which stays open for as long as its parent lives, and
tells what it has to tell in lines of JSON on standard output. Everything else it prints goes to standard error.
"""

import json
import os
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from querist.errors import QueristError
from querist.files import write_bytes

ERROR = "error"
"""Files in the room of a task: of the errors that processes raised."""

Say: TypeAlias = Callable[..., None]
"""Tells the parent something, if this is the first process."""


class Task(Protocol):
    """What a process is told to do; it travels through a pipe, so it and what it holds have to be picklable."""

    @property
    def room(self) -> Path:
        """A folder of the parent, for the time of the task: of what goes back and forth, and of errors."""
        ...

    def work(self, rank: int, devices: int, kind: Literal["cpu", "cuda"], say: Say) -> None:
        """Do the part of one process."""
        ...


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
    task: Task = pickle.loads(sys.stdin.buffer.read(size))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        task.work(rank, devices, "cuda" if kind == "cuda" else "cpu", say)
    except QueristError as error:
        write_bytes(task.room / f"{ERROR}-{rank}", pickle.dumps(error))
        return 1
    return 0


def _end_with_parent() -> None:
    os.read(0, 1)  # past the buffer of `sys.stdin`, whose lock an interpreter that ends would find taken
    os._exit(1)  # a collective that waits for another process hears of nothing gentler


if __name__ == "__main__":
    sys.exit(main())
