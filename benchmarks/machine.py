"""What the machine can do, measured: bytes read from memory and products of matrices per second."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import njit
from settings import SCALE, THREADS

REPEATS = 5
READ = 2**27 if SCALE == 1 else 2**23
"""Numbers read, 512 MB: far more than any cache holds."""


@njit(nogil=True, fastmath=True)
def _sum(x):
    total = np.float32(0.0)
    for i in range(len(x)):
        total += x[i]
    return total


@cache
def reading_rate() -> float:
    """Return bytes a second that `THREADS` threads read from memory."""
    x = np.ones(READ, np.float32)
    parts = np.array_split(x, THREADS)
    _sum(x[:16])
    with ThreadPoolExecutor(THREADS) as pool:
        return x.nbytes / _best(lambda: list(pool.map(_sum, parts)))


@cache
def product_rate(d: int) -> float:
    """Return additions and multiplications a second of float32 products of numpy over an axis of length `d`."""
    a, b = np.ones((8192, d), np.float32), np.ones((d, 1024), np.float32)
    out = a @ b
    return 2.0 * a.shape[0] * b.shape[1] * d / _best(lambda: np.matmul(a, b, out=out))


def reading(size: float) -> float:
    """Return the seconds it takes to read so many bytes."""
    return size / reading_rate()


def products(rows: float, columns: float, d: int) -> float:
    """Return the seconds of the product of ``(rows, d)`` and ``(d, columns)``."""
    return 2.0 * rows * columns * d / product_rate(d)


def rates() -> dict[str, float]:
    """Return all rates in units of 1e9 a second."""
    return {
        "memory read, GB/s": round(reading_rate() / 1e9, 1),
        "sgemm d=512, GFLOP/s": round(product_rate(512) / 1e9, 1),
        "sgemm d=64, GFLOP/s": round(product_rate(64) / 1e9, 1),
    }


def _best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
