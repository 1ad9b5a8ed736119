"""Sampling without replacement by Gumbel noise."""

import numpy as np

from querist.arrays import Array, Hashes, Rows
from querist.kernels.top import top_b


def gumbel_top(log_weight_n: Array, uniform_n: Array, tie_n: Hashes, b: int) -> tuple[Rows, Array]:
    """Return `b` rows drawn one after another in proportion to ``exp(log_weight)``, and each draw's probability.

    Identity: the `b` largest of ``log_weight_i + G_i`` with independent standard Gumbel ``G_i`` have the law of `b`
    successive draws without replacement (Vieira 2014; Kool, van Hoof & Welling, ICML 2019).

    Args:
        log_weight_n: finite.
        uniform_n: independent, uniform on (0, 1).
        tie_n: breaks ties, should the noise leave any.
        b: ``1 <= b <= n``.

    Returns:
        Rows in the order drawn; the probability of each draw given the earlier ones.
    """
    rows = top_b(log_weight_n - np.log(-np.log(uniform_n)), tie_n, b)
    rest = np.delete(log_weight_n, rows)
    unseen = rest.max() + np.log(np.exp(rest - rest.max()).sum()) if len(rest) else -np.inf
    # What is left before each draw, added up from the last draw back: taking away from the total would cancel.
    left_b = np.logaddexp.accumulate(np.append(unseen, log_weight_n[rows][::-1]))[:0:-1]
    return rows, np.exp(np.minimum(log_weight_n[rows] - left_b, 0.0))
