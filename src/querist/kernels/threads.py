"""Keeps matrix products on one thread, so that their last bits, and with them picks, never depend on the machine."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from typing import ClassVar

from threadpoolctl import LibController, ThreadpoolController


class _Limit(local):
    """How deeply a thread has entered, and, shared by all threads, who holds the limit and what it was before."""

    lock = Lock()
    holders = 0
    modules = -1
    libraries: tuple[LibController, ...] = ()
    before: ClassVar[dict[str, tuple[LibController, int]]] = {}

    def __init__(self) -> None:
        self.depth = 0

    def enter(self) -> None:
        shared = _Limit
        self.depth += 1
        # Finding the loaded libraries takes milliseconds; only an import can have brought a new one.
        imported = shared.modules != len(sys.modules)
        if self.depth > 1 and not imported:
            return
        with self.lock:
            if imported:
                found = ThreadpoolController().select(user_api="blas").lib_controllers
                shared.libraries, shared.modules = tuple(found), len(sys.modules)
            if shared.holders == 0:
                self.before.clear()
            if self.depth == 1:
                shared.holders += 1
            # By every thread, though most libraries have one limit for the process: some have one per thread.
            for library in shared.libraries:
                self.before.setdefault(str(library.filepath), (library, library.num_threads or 1))
                _set(library, 1)

    def leave(self) -> None:
        self.depth -= 1
        if self.depth:
            return
        with self.lock:
            _Limit.holders -= 1
            if _Limit.holders == 0:
                for library, threads in self.before.values():
                    _set(library, threads)


_limit = _Limit()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread in the whole process; also a decorator.

    The outermost entry costs about 0.1 ms, nested ones next to nothing, so a session holds it around whole runs. The
    limit is lifted when the last holder, of whatever thread, leaves.
    """
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


def _set(library: LibController, threads: int) -> None:
    # Newer versions of threadpoolctl let only one thread change OpenBLAS and ignore the others in silence.
    release = getattr(library, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    library.set_num_threads(threads)
    if release is not None:
        release(force=True)
