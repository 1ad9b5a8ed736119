"""Uncertainty of one row of class probabilities: entropy, margin, least confidence, alone or in one pass."""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from querist.arrays import Array
from querist.kernels.jit import dense, jit
from querist.kernels.workers import each_block

BLOCK = 2**18
"""Entries, rows times classes, that one thread scores at a time: they stay in its cache from one score to the next."""

# Coefficients of 2 atanh(s) / s in powers of s^2, interpolated at Chebyshev points for the s that occur: between the
# roots of 1/2 and 2 the error is below 2^-58.
_S0, _S1, _S2, _S3 = 2.0, 0.6666666666666765, 0.3999999999930234, 0.28571428760641776
_S4, _S5, _S6, _S7 = 0.22222197056715726, 0.18183631680790657, 0.15312528133331413, 0.1480971051786593
_LN2 = float(np.log(2.0))
_ROOT_HALF = int(np.array(np.sqrt(0.5)).view(np.int64))
_ONE = int(np.array(1.0).view(np.int64))
_MANTISSA = 2**52 - 1
_TINY = float(np.finfo(np.float64).tiny)

_VECTOR = 64
"""Bytes of the vectors in which the two largest probabilities are sought."""


class Uncertainty(NamedTuple):
    """The three scores of n rows, each ``(n,)`` float64."""

    entropy_n: Array
    margin_n: Array
    least_confidence_n: Array


def uncertainty(p_n_c: Array) -> Uncertainty:
    """Return entropy, margin and least confidence of all rows; memory is read once."""
    return _scored(p_n_c, entropies=True, orders=True)


def entropy(p_n_c: Array) -> Array:
    """Return ``(n,)`` entropies in nats, ``0 <= H <= log c``; a probability of 0 adds nothing."""
    return _scored(p_n_c, entropies=True, orders=False).entropy_n


def least_confidence(p_n_c: Array) -> Array:
    """Return ``(n,)``: 1 minus the largest probability."""
    return _scored(p_n_c, entropies=False, orders=True).least_confidence_n


def margin(p_n_c: Array) -> Array:
    """Return ``(n,)``: the second largest probability minus the largest, from -1 (certain) to 0 (torn).

    With one class the second largest is 0.
    """
    return _scored(p_n_c, entropies=False, orders=True).margin_n


def _scored(p_n_c: Array, *, entropies: bool, orders: bool) -> Uncertainty:
    n = len(p_n_c)
    found = Uncertainty(*(np.empty(n if wanted else 0) for wanted in (entropies, orders, orders)))

    def work(block: slice) -> None:
        p_m_c = dense(p_n_c[block])
        if entropies:
            _entropy(p_m_c, found.entropy_n[block])
        if orders:
            _order(p_m_c, found.margin_n[block], found.least_confidence_n[block])

    each_block(work, n, max(1, BLOCK // max(p_n_c.shape[1], 1)))
    return found


@jit
def _entropy(p_m_c, entropy_m):
    """Fill the entropies."""
    # p = 2^k f with f between the roots of 1/2 and 2, and log f = 2 atanh((f - 1) / (f + 1)). Taken from the bits,
    # because a loop with a call of log would not vectorise; nor would one with a checked division.
    for i in range(len(p_m_c)):
        p_c = p_m_c[i]
        total = 0.0
        for j in range(len(p_c)):
            # log(tiny) is finite, and 0 times it is 0: the limit of p log p without a NaN on the way.
            positive = max(np.float64(p_c[j]), _TINY)
            bits = np.float64(positive).view(np.int64) + (_ONE - _ROOT_HALF)
            k = np.float64((bits >> 52) - 1023)
            f = np.int64((bits & _MANTISSA) + _ROOT_HALF).view(np.float64)
            s = np.divide(f - 1.0, f + 1.0)
            z = s * s
            zz = z * z
            # In halves, not one after the other: the processor works on both at once.
            low, high = (_S0 + z * _S1) + zz * (_S2 + z * _S3), (_S4 + z * _S5) + zz * (_S6 + z * _S7)
            series = low + (zz * zz) * high
            total += max(np.float64(p_c[j]), 0.0) * (k * _LN2 + s * series)
        entropy_m[i] = 0.0 - total


@jit
def _order(p_m_c, margin_m, least_confidence_m):
    """Fill what the two largest probabilities say."""
    m, c = p_m_c.shape
    wide = c * p_m_c.itemsize >= _VECTOR
    for i in range(m):
        p_c = p_m_c[i]
        first = second = 0.0
        if wide:
            first, second = _two_largest(p_c)  # pyright: ignore[reportCallIssue]
        else:
            for j in range(c):
                p = np.float64(p_c[j])
                second = max(second, min(first, p))
                first = max(first, p)
        margin_m[i] = second - first
        least_confidence_m[i] = 1.0 - first


@intrinsic
def _two_largest(_context, row):
    """Return the largest entry of a row and the second largest, 0 where they are negative.

    The row fills a vector of `_VECTOR` bytes at least. Written as vector instructions, because no compiler finds them
    in a loop whose two maxima depend on each other; the loop takes four times as long.
    """

    def lowered(context, builder, signature, args):
        data = context.make_array(row)(context, builder, args[0])
        number, size = context.get_data_type(row.dtype), builder.extract_value(data.shape, 0)
        lanes, word = _VECTOR * 8 // row.dtype.bitwidth, ir.IntType(32)
        vector = ir.VectorType(number, lanes)
        zeros, places = ir.Constant(vector, [0.0] * lanes), ir.VectorType(word, lanes)

        def load(start):
            at = builder.bitcast(builder.gep(data.data, [start]), vector.as_pointer())
            return builder.load(at, align=row.dtype.bitwidth // 8)

        def either(relation, one, other):
            return builder.select(builder.fcmp_ordered(relation, one, other), one, other)

        def merged(one, other):
            """The two largest of two pairs, lane by lane."""
            seconds = either(">", one[1], other[1])
            return either(">", one[0], other[0]), either(">", either("<", one[0], other[0]), seconds)

        first, second = (cgutils.alloca_once_value(builder, zeros) for _ in range(2))
        vectors = builder.udiv(size, ir.Constant(size.type, lanes))
        with cgutils.for_range(builder, vectors, intp=size.type) as loop:
            entries = load(builder.mul(loop.index, ir.Constant(size.type, lanes)))
            pair = merged((builder.load(first), builder.load(second)), (entries, zeros))
            builder.store(pair[0], first)
            builder.store(pair[1], second)
        # What is left is the end of the last full vector there is; lanes before it were looked at already.
        left = builder.trunc(builder.urem(size, ir.Constant(size.type, lanes)), word)
        left = builder.insert_element(ir.Constant(places, ir.Undefined), left, word(0))
        left = builder.shuffle_vector(left, left, ir.Constant(places, [0] * lanes))
        new = builder.icmp_unsigned("<=", ir.Constant(places, list(range(lanes, 0, -1))), left)
        entries = builder.select(new, load(builder.sub(size, ir.Constant(size.type, lanes))), zeros)
        pair = merged((builder.load(first), builder.load(second)), (entries, zeros))
        while lanes > 1:
            lanes //= 2
            halves = [
                ir.Constant(ir.VectorType(word, lanes), list(range(start, start + lanes))) for start in (0, lanes)
            ]
            low, high = ([builder.shuffle_vector(part, part, half) for part in pair] for half in halves)
            pair = merged(low, high)
        found = (
            [builder.fpext(builder.extract_element(part, word(0)), ir.DoubleType()) for part in pair]
            if (row.dtype.bitwidth < 64)
            else [builder.extract_element(part, word(0)) for part in pair]
        )
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.float64, 2)(row), lowered
