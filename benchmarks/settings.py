"""How many threads every library gets, and how much smaller than life a trial run is."""

import os

THREADS = int(os.environ.get("BENCH_THREADS", "1"))
SCALE = float(os.environ.get("BENCH_SCALE", "1"))


def scaled(size: int, least: int = 1) -> int:
    """Return a size of a workload, smaller in a trial run."""
    return size if SCALE == 1 else max(least, int(size * SCALE))
