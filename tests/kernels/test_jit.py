"""Compilation with and without a place to keep the result, and arrays as kernels take them."""

import numpy as np
import pytest

from querist.kernels import jit as module
from querist.kernels.jit import dense, jit


def test_compiles_in_memory_when_nothing_can_be_kept(monkeypatch):
    calls = []

    def without_a_folder(**options):
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(module, "njit", without_a_folder)
    assert jit(lambda x: x + 1)(1) == 2
    assert [options.get("cache", False) for options in calls] == [True, False]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_shares_what_is_already_right(dtype):
    x = np.ones((4, 3), dtype)
    out = dense(x)
    assert np.shares_memory(x, out)
    assert not out.flags.writeable
    assert x.flags.writeable


@pytest.mark.parametrize(
    "x", [np.ones((4, 3), np.float16), np.ones((4, 3), np.int64), np.ones((4, 6), np.float32)[:, ::2]]
)
def test_dense_converts_what_kernels_cannot_take(x):
    out = dense(x)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, x)
