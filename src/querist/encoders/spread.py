"""Encoding by several processes at once: one per graphics card, or sharing the cores of the CPU."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from querist.arrays import Array
from querist.data.dataset import Dataset
from querist.errors import DataError, SpecError
from querist.evidence import features
from querist.evidence.features import Fittable
from querist.evidence.view import View
from querist.kernels.workers import workers
from querist.seeds import Seed

AHEAD = 2
"""Blocks that each process is given at a time, so that it has the next one when it is done with one."""
IDLE_SECONDS = 30
"""A process without work for so long ends by itself: nobody else would end those of a command that was killed."""
CARDS = "CUDA_VISIBLE_DEVICES"


class Spread:
    """An `Encoding` that shares blocks of rows among processes; features are those of one process, to the last bit.

    Every process opens the data by itself, fits the encoder to it, and encodes every N-th block. On graphics cards the
    last bits may differ from those of another kind of card.

    Args:
        opener: opens the dataset; called in every process, so it and what it holds must be picklable.
        devices: number of processes.
    """

    def __init__(self, opener: Callable[[], Dataset], devices: int) -> None:
        if devices < 1:
            raise SpecError(f"expected at least 1 device, got {devices}.")
        self._opener, self._devices = opener, devices

    def __call__(self, dataset: Dataset, encoder: Fittable, seed: Seed, start: int) -> Iterator[Array]:
        """Yield the features of all rows from `start` on.

        Raises:
            SpecError: there are fewer graphics cards, or fewer cores, than devices were asked for.
            DataError: a process opened other data.
            QueristError: what encoding raises, as in one process.
        """
        # Processes of the standard library would wait for ever if this one were killed.
        from joblib.externals.loky import ProcessPoolExecutor

        total = len(dataset.manifest)
        blocks = range(start, total, features.CHUNK)
        places = places_for(encoder, self._devices)[: max(1, len(blocks))]
        with ExitStack() as stack:
            pools = []
            for place in places:
                pool = ProcessPoolExecutor(
                    1, timeout=IDLE_SECONDS, env=place.environment, initializer=_begin,
                    initargs=(self._opener, dataset.fingerprint, encoder, seed, place.threads),
                )  # fmt: skip
                stack.callback(pool.shutdown, wait=True, kill_workers=True)
                pools.append(pool)
            waiting: deque[Future[Array]] = deque()
            for number, first in enumerate(blocks):
                rows = first, min(first + features.CHUNK, total)
                waiting.append(pools[number % len(pools)].submit(_encode, *rows))
                if len(waiting) >= AHEAD * len(pools):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class Place(NamedTuple):
    """Where a process computes."""

    environment: dict[str, str]
    threads: int


def places_for(encoder: Fittable, devices: int) -> list[Place]:
    """Return a place per process: a graphics card each if the encoder would take one, else a share of the cores.

    Raises:
        SpecError: there are not as many.
    """
    cores = os.cpu_count() or 1
    cards = _cards() if getattr(encoder, "device", "cpu") in ("auto", "cuda") else []
    have, what = (len(cards), "graphics cards") if cards else (cores, "cores, and no graphics card for this encoder")
    if devices > have:
        raise SpecError(f"{devices} devices were asked for, and there are {have} {what}.")
    if cards:
        return [Place({CARDS: card}, max(1, cores // devices)) for card in cards[:devices]]
    return [Place({}, max(1, cores // devices)) for _ in range(devices)]


def _cards() -> list[str]:
    """Return the graphics cards that this process may use, by the names under which another one finds them."""
    if find_spec("torch") is None:
        return []
    import torch

    count = torch.cuda.device_count()
    named = [card for card in os.environ.get(CARDS, "").split(",") if card]
    return named[:count] if named else [str(card) for card in range(count)]


_work: list[Any] = []
"""What a process of `Spread` works with: the dataset, the encoder fitted to it, and the number of threads."""


def _begin(opener: Callable[[], Dataset], fingerprint: str, encoder: Fittable, seed: Seed, threads: int) -> None:
    _work[:] = [opener, fingerprint, encoder, seed, threads]


def _encode(first: int, last: int) -> Array:
    if len(_work) == 5:  # here and not when the process begins, where an error would not reach anybody
        opener, fingerprint, encoder, seed, threads = _work
        data = opener()
        if data.fingerprint != fingerprint:
            raise DataError("the data changed while they were being encoded. Start again when nobody writes to them.")
        with workers(threads):
            _work[:] = [data, encoder.fit(View(data, data.pool), seed), threads]
    data, fitted, threads = _work
    with workers(threads):
        return fitted.encode(View(data, np.arange(first, last)))
