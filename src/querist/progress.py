"""Progress of long work: deep functions tell how far they are, and whoever wants to show it listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Listener: TypeAlias = Callable[[str, int, int], None]

_listener: ContextVar[Listener | None] = ContextVar("querist.progress", default=None)


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
