"""Exponential races between rows with keyed noise: who can arrive before a given time."""

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Ids, Rows
from querist.kernels.jit import jit
from querist.seeds import Key

BLOCK = 512
"""Rows looked at together; only in a block with an arrival are rows looked at one by one."""


class Race:
    """One race after another between the same rows: row i arrives at ``-log(u_i) / w_i``, `u` afresh in each.

    The first to arrive is i with probability ``w_i / sum w``. Noise is that of `Key.uniform`, but it is computed on the
    way and stored for nobody but early arrivals: ``-log u >= 1 - u`` shows for nearly every row that it comes too late.
    """

    def __init__(self, ids_n: Ids) -> None:
        self._words_n, self._rows_n = ids_n.astype(np.uint64), np.empty(len(ids_n), np.intp)

    def before(self, time: float, weight_n: Array, key: Key) -> tuple[Rows, float]:
        """Return all rows that may arrive by `time` (some that arrive later are among them), and the sum of weights.

        Args:
            time: rows of weight 0 arrive never, also for an infinite time.
            weight_n: not negative.
            key: of this race.
        """
        first, second = key.seed.words(2)
        count, total = _early(self._words_n, weight_n, first, second, time * (1.0 + 1e-9), BLOCK, self._rows_n)
        return self._rows_n[:count].copy(), total


def log_waits(ids_m: Ids, key: Key) -> npt.NDArray[np.float64]:
    """Return ``log(-log u)``, the logarithm of how long rows of weight 1 wait."""
    return np.log(-np.log(key.uniform(ids_m)))


@jit
def _late(word, first, second):
    """``1 - Key.uniform``, exactly."""
    word = word + first
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word = (word ^ (word >> np.uint64(31))) ^ second
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word = word ^ (word >> np.uint64(31))
    return (np.float64(np.uint64(2**52 - 1) - (word >> np.uint64(12))) + 0.5) * 2.0**-52


@jit
def _early(words_n, weight_n, first, second, time, block, rows_n):
    """Fill `rows_n` with the rows whose ``1 - u`` is at most ``time * weight``; return how many, and all weights."""
    n = len(words_n)
    count, total = 0, 0.0
    for start in range(0, n, block):
        words, weight = words_n[start : start + block], weight_n[start : start + block]
        some, part = 0, 0.0
        for i in range(len(words)):
            some += _late(words[i], first, second) <= time * weight[i]
            part += weight[i]
        total += part
        if some:
            for i in range(len(words)):
                if _late(words[i], first, second) <= time * weight[i]:
                    rows_n[count] = start + i
                    count += 1
    return count, total
