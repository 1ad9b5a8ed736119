"""How much of a fit a net is at work, measured without making a graphics card wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch


class Lap(NamedTuple):
    """Time since the lap before."""

    seconds: float
    """By the clock on the wall."""
    computing: float
    """Of those: seconds in which the net was at work."""
    updates: int
    """How often it was."""


class Stopwatch:
    """Times what happens in `computing` against everything else.

    On a graphics card the times are those of events in its queue: work is handed over long before it is done, so a
    clock on this side would measure nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._computing, self._updates, self._began = 0.0, 0, time.perf_counter()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Count the body as work of the net: forward, backward and the step."""
        self._updates += 1
        if self._device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            yield
            end.record()
            self._events.append((start, end))
        else:
            start = time.perf_counter()
            yield
            self._computing += time.perf_counter() - start

    def lap(self) -> Lap:
        """Return the times since the last lap, and begin another; waits for a graphics card."""
        if self._events:
            torch.cuda.synchronize(self._device)
            self._computing += sum(start.elapsed_time(end) for start, end in self._events) / 1000
        now = time.perf_counter()
        lap = Lap(now - self._began, self._computing, self._updates)
        self._events, self._computing, self._updates, self._began = [], 0.0, 0, now
        return lap
