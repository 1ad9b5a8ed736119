"""How many threads a kernel may use: one, unless a command that runs on its own raises it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

from querist.kernels.threads import single_threaded_blas

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


def each_block(work: Callable[[slice], None], n: int, size: int) -> None:
    """Call ``work(block)`` for slices of at most `size` that cover ``range(n)``, BLAS held at one thread.

    Every block is one thread's own: it must write nothing that another block reads or writes. The blocks are the same
    for any number of workers.
    """
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    threads = min(_allowed.get(), len(blocks))
    with single_threaded_blas():
        if threads <= 1:
            for block in blocks:
                work(block)
        else:
            waiting = iter(blocks)

            def take() -> None:
                # One task per thread and not per block: handing a task over costs as much as a small block.
                for block in waiting:
                    work(block)

            with ThreadPoolExecutor(threads) as pool:
                for done in [pool.submit(take) for _ in range(threads)]:
                    done.result()
