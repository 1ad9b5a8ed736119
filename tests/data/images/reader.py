"""A process that opens a folder of images in forked children, each of which is killed at another write.

Run as a script: ``reader.py PHOTOS WORK HOW``. HOW is ``kill`` or the name of an error number. Prints a JSON list: for
every call that changes the disk, what came of the child in which it went wrong, and the outcome of opening the folder
again in another child.
"""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from querist.data.images import ingest as ingesting
from querist.data.images.folder import folder
from querist.errors import QueristError

CALLS = ("write", "fsync", "ftruncate", "mkdir")


def outcome(photos: Path, cache: Path) -> dict[str, Any]:
    """Open the folder; return everything that a result could depend on, and the files of the index."""
    data = folder(str(photos), cache=str(cache))
    return {
        "keys": data.manifest.keys, "classes": data.classes, "split": data.manifest.split.tolist(),
        "labels": data.labels.unseal().tolist(), "aside": data.set_aside, "fingerprint": data.fingerprint,
        "paths": data.paths, "items": sha256(data.items[np.arange(len(data.items))].tobytes()).hexdigest(),
        "index": {
            path.name: sha256(path.read_bytes()).hexdigest()
            for path in sorted(cache.rglob("*")) if path.is_file() and path.suffix != ".lock"
        },
    }  # fmt: skip


def plant(at: int, how: str) -> list[str]:
    """Let the `at`-th call that changes the disk go wrong, a write after half of its bytes, and all later ones too."""
    calls: list[str] = []

    def wrong(name: str, call: Callable[..., Any], *args: Any, **settings: Any) -> Any:
        calls.append(name)
        if len(calls) < at or (how != "kill" and name == "ftruncate"):
            return call(*args, **settings)
        if name == "write" and len(calls) == at:
            written = call(args[0], bytes(args[1])[: len(args[1]) // 2])
            if how != "kill":
                return written
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, how)
        raise OSError(number, os.strerror(number))

    for name in CALLS:
        real = getattr(os, name)
        setattr(os, name, lambda *args, name=name, real=real, **settings: wrong(name, real, *args, **settings))
    return calls


def forked(work: Callable[[], Any]) -> tuple[int, Any]:
    """Return the exit status of a child that does some work, negative if a signal ended it, and what it returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        result = json.dumps(work()).encode()
        with os.fdopen(writing, "wb", 0) as told:
            told.write(result)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        text = told.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), json.loads(text) if text else None


def main(photos: Path, work: Path, how: str) -> None:
    ingesting.BATCH = 50
    os.fsync = lambda descriptor: None  # a kill loses nothing that the kernel has, and a busy disk takes its time
    told: list[Any] = []
    for at in range(1, 1000):
        cache = work / f"{how}-{at}"

        def disturbed(at: int = at, cache: Path = cache) -> list[str]:
            real = os.write
            plant(at, how)
            try:
                folder(str(photos), cache=str(cache))
            except QueristError as error:
                os.write = real
                return [type(error).__name__, str(error)]
            os.write = real
            return ["none", ""]

        status, said = forked(disturbed)
        if said and said[0] == "none":
            break
        told.append({"status": status, "said": said, "again": forked(lambda cache=cache: outcome(photos, cache))[1]})
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
