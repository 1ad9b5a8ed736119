"""What libraries read while they are loaded: how many threads they get."""

import os

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def environment(threads: int, scale: float = 1.0) -> None:
    """Give every library so many threads; call it before numpy is imported. `settings` reads it too."""
    os.environ.update(dict.fromkeys(POOLS, str(threads)))
    os.environ.update(BENCH_THREADS=str(threads), BENCH_SCALE=str(scale), TQDM_DISABLE="1")
