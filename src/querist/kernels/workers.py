"""How many threads a kernel may use: one, unless a command that runs on its own raises it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

from querist.kernels.threads import single_threaded_blas
from querist.progress import tell

_allowed: ContextVar[int] = ContextVar("workers", default=1)


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Let kernels called inside use up to `count` threads; their results do not depend on it.

    Holds for the calling thread only: runs side by side in threads or processes keep one thread each.
    """
    before = _allowed.set(count)
    try:
        yield
    finally:
        _allowed.reset(before)


def each_block(work: Callable[[slice], None], n: int, size: int, *, what: str | None = None) -> None:
    """Call ``work(block)`` for slices of at most `size` that cover ``range(n)``, BLAS held at one thread.

    Every block is one thread's own: it must write nothing that another block reads or writes. The blocks are the same
    for any number of workers. Work that takes long has a name, `what`, and tells its progress under it.
    """
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    threads = min(_allowed.get(), len(blocks))
    waiting = iter(blocks)

    def take() -> None:
        # One task per thread and not per block: handing a task over costs as much as a small block.
        for block in waiting:
            work(block)
            if what is not None:
                tell(what, block.stop, n)

    with single_threaded_blas():
        if threads <= 1:
            take()
        else:
            # The calling thread takes its share: it alone is heard when it tells how far the work is.
            with ThreadPoolExecutor(threads - 1) as pool, workers(1):
                others = [pool.submit(take) for _ in range(threads - 1)]
                take()
                for done in others:
                    done.result()
            if what is not None:
                tell(what, n, n)
