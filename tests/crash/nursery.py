"""A process that imports and compiles once and then forks children that run a study, with a fault planted if wanted.

Run as a script by the tests of this folder: one JSON request per line on standard input, one JSON answer per line on
standard output. The first request is a study that is run to its end before anything is forked.
"""

import errno
import io
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

DIED = 9
"""Exit status of a child that dies of its fault."""


@dataclass
class Fault:
    """Something that goes wrong at the `at`-th of the calls that change the disk, counted from 1; 0 only counts.

    Attributes:
        how: ``before``: the child dies instead of the call. ``half``: it dies after half of the bytes of a write.
            The name of an error number: this call and all later ones are refused with it, a write after half of its
            bytes; only cutting a file short still works, as it does on a full disk.
        calls: what was called so far, each with the name of the file.
    """

    at: int = 0
    how: str = "before"
    calls: list[tuple[str, str]] = field(default_factory=list)

    def plant(self) -> None:
        """Put a counter in front of every call that changes the disk."""
        for name in ("write", "fsync", "replace", "ftruncate", "mkdir", "open"):
            setattr(os, name, partial(self.call, f"os.{name}", getattr(os, name)))
        path_open, fault = Path.open, self

        class Disk(io.FileIO):
            def write(self, data: Any) -> int | None:
                return fault.call("write", lambda path, data: super(Disk, self).write(data), path_of[self], data)

        path_of: dict[Disk, Path] = {}

        def counted_open(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode != "xb":
                return path_open(path, mode, *args, **kwargs)
            disk = self.call("open", Disk, path, mode)
            path_of[disk] = path
            return io.BufferedWriter(disk)

        Path.open = counted_open

    def call(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        """Make a call whose first argument is a path or a descriptor, unless it is the one that goes wrong."""
        if (name == "os.open" and not args[1] & os.O_CREAT) or (name == "os.mkdir" and Path(args[0]).exists()):
            return call(*args)
        path = Path(f"/proc/self/fd/{args[0]}").readlink() if type(args[0]) is int else Path(args[0])
        self.calls.append((name, path.name))
        now = len(self.calls)
        if not self.at or now < self.at or (name == "os.ftruncate" and self.how not in ("before", "half")):
            return call(*args)
        written = None
        if self.how != "before" and now == self.at and name.endswith("write"):
            data = bytes(args[1])
            written = call(args[0], data[: len(data) // 2])
        if self.how in ("before", "half"):
            os._exit(DIED)
        if written:
            return written
        number = getattr(errno, self.how)
        raise OSError(number, os.strerror(number))


def run_study(request: dict[str, Any]) -> None:
    """Run a study to its end."""
    from querist.studies import execute
    from querist.studies.spec import parse_study
    from querist.studies.study import Study

    execute.COHORT = request.get("cohort", execute.COHORT)
    Study(parse_study(request["study"]), request["store"]).run(workers=request.get("workers", 1))


def child(request: dict[str, Any]) -> int:
    """Run a study in a process group of its own; write what came of it to the file ``outcome``."""
    import resource  # not on Windows

    from joblib.externals.loky import get_reusable_executor

    os.setsid()
    outcome = Path(request["outcome"])
    result = outcome.open("w", encoding="utf-8")  # now, before anything is refused
    with outcome.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if "user" in request:
        os.setuid(request["user"])
    if "largest" in request:  # no file may grow beyond so many bytes; worker processes inherit it
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest"], resource.RLIM_INFINITY))
    if "pace" in request:
        fsync = os.fsync
        os.fsync = lambda descriptor: (time.sleep(request["pace"]), fsync(descriptor))[1]
    fault = Fault(**request.get("fault", {}))
    if "fault" in request:
        fault.plant()
    error: BaseException | None = None
    try:
        run_study(request)
    except Exception as problem:
        error = problem
    if request.get("workers", 1) > 1:
        get_reusable_executor().shutdown(wait=True)  # what the exit handlers do that a forked child leaves out
    told = {"error": type(error).__name__, "message": str(error)} if error else {}
    resource.setrlimit(resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)[1:] * 2)
    result.write(json.dumps({**asdict(fault), **told}))
    result.close()
    return 1 if error else 0


def main() -> None:
    """Serve requests until standard input ends."""
    os.fsync = lambda descriptor: None  # a kill loses nothing that the kernel has, and a busy disk takes its time
    run_study(json.loads(sys.stdin.readline()))  # imports and compiles everything
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                status = 2
                try:
                    status = child(request)
                finally:
                    os._exit(status)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
