"""One way of compiling kernels: one thread, without the interpreter lock, kept on disk where that is possible."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from querist.arrays import readonly

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be reordered and fused, so that they vectorise; infinities and NaN keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz"}


def jit(function: F) -> F:
    """Compile a function on its first call.

    Compiled functions call no other compiled function of another file: the cache on disk notices a change of the
    function's own file only.
    """
    try:
        compiled = njit(cache=True, nogil=True, fastmath=_FASTMATH)(function)
    except RuntimeError:  # nowhere to keep the result: neither the package folder nor the home folder can be written
        compiled = njit(nogil=True, fastmath=_FASTMATH)(function)
    return cast("F", compiled)


def dense(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `array` as compiled kernels take it: C-contiguous, read-only, float32 or float64; copied only if it must.

    Always read-only, because a kernel is compiled once for writable and once for read-only arrays.
    """
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float32
    return readonly(np.ascontiguousarray(array, dtype=dtype))
