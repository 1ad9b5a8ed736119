"""Runs long work beside the main thread, so that Ctrl-C is heard at once, even while a kernel computes."""

import os
import sys
from collections.abc import Callable
from contextvars import copy_context
from threading import Event, Thread
from typing import NoReturn, TypeVar

T = TypeVar("T")
PATIENCE = 0.2
"""Seconds between two looks at whether somebody pressed Ctrl-C, on systems where waiting cannot be interrupted."""

_given_up: list[Event] = []


def in_background(work: Callable[[], T]) -> T:
    """Return ``work()``, done in another thread with the settings of this one; its errors are raised here.

    A signal is handled by the main thread between two steps of Python, and a kernel may be one step that takes minutes.
    Here the main thread waits and does nothing else. Work that is given up goes on until `leave` ends the process.
    """
    outcome: list[tuple[T | None, BaseException | None]] = []
    finished = Event()

    def run() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))
        finished.set()

    try:
        # An interrupt may come before `start` returns, while the work has begun.
        Thread(target=copy_context().run, args=(run,), daemon=True).start()
        # Not `join`: a thread whose join was interrupted may count as dead while it works.
        while not finished.wait(PATIENCE):
            pass
    except BaseException:
        _given_up.append(finished)
        raise
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # pyright: ignore[reportReturnType]


def leave(status: int) -> NoReturn:
    """End the process with a status, without waiting for work that was given up.

    Nothing is lost: files are written beside their place and renamed, so one that is being written leaves no trace.
    """
    if not all(finished.is_set() for finished in _given_up):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
