"""Times and peak memory of calls made in turn in one process."""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ONCE, TWICE = 20.0, 5.0
"""Seconds: a call that takes longer is made once only, or twice; every other one three times."""


@dataclass
class Measured:
    """The best time of some calls, the peak of private memory during the first, and the last result."""

    seconds: float
    megabytes: float
    repeats: int
    result: Any


def alternate(calls: Mapping[str, Callable[[], Any]], repeats: int = 3) -> dict[str, Measured]:
    """Make every call once, then every call again, and so on; a first call counts, so compile before."""
    found: dict[str, Measured] = {}
    for turn in range(repeats):
        for name, call in calls.items():
            if name in found and found[name].seconds > (TWICE if turn == 2 else ONCE):
                continue
            measured = once(call, watch=turn == 0)
            if name in found:
                measured.seconds = min(measured.seconds, found[name].seconds)
                measured.megabytes = found[name].megabytes
            measured.repeats = turn + 1
            found[name] = measured
    return found


def once(call: Callable[[], Any], *, watch: bool = True) -> Measured:
    """Make one call."""
    with Peak(watch=watch) as peak:
        start = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - start
    return Measured(seconds, peak.megabytes, 1, result)


class Peak:
    """The growth of the process's anonymous memory, looked at every 2 ms; mapped files do not count."""

    def __init__(self, *, watch: bool) -> None:
        self.megabytes, self._watch, self._stop = 0.0, watch, threading.Event()

    def __enter__(self) -> "Peak":
        # What earlier calls freed would be used again and not be seen to grow.
        ctypes.CDLL(None).malloc_trim(0)
        self._before = _private()
        self._thread = threading.Thread(target=self._look)
        if self._watch:
            self._thread.start()
        return self

    def _look(self) -> None:
        while not self._stop.wait(0.002):
            self.megabytes = max(self.megabytes, _private() - self._before)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._watch:
            self._thread.join()


def _private() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 2)
