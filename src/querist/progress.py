"""News of long work: deep functions tell how far they are and what they measure, and whoever wants to know listens."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Listener: TypeAlias = Callable[[str, int, int], None]

Value: TypeAlias = str | int | float
Recorder: TypeAlias = Callable[[str, Mapping[str, Value]], None]

_listener: ContextVar[Listener | None] = ContextVar("querist.progress", default=None)
_recorder: ContextVar[Recorder | None] = ContextVar("querist.record", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within the block, call ``listener(what, done, total)`` whenever work of this thread tells its progress.

    >>> heard = []
    >>> with listening(lambda *news: heard.append(news)):
    ...     tell("encoding", 3, 10)
    >>> heard
    [('encoding', 3, 10)]
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(what: str, done: int, total: int) -> None:
    """Say that `done` of `total` units of `what` are finished; nobody has to listen."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Within the block, call ``recorder(event, values)`` whenever work of this thread records something it measured.

    >>> heard = []
    >>> with recording(lambda event, values: heard.append((event, dict(values)))):
    ...     record("epoch", epoch=1, loss=0.5)
    >>> heard
    [('epoch', {'epoch': 1, 'loss': 0.5})]
    """
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def record(event: str, /, **values: Value) -> None:
    """Say what was measured, e.g. the loss of an epoch. Telemetry, never part of a compared record."""
    recorder = _recorder.get()
    if recorder is not None:
        recorder(event, values)
