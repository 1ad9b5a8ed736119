"""One representative per cluster, completed farthest-first when clusters have none to give."""

import numpy as np

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.farthest_first import farthest_first
from querist.kernels.kmeans import Clusters, medoids


def representatives(
    x_N_d: Array, clusters: Clusters, centres: Rows, open_N: Bools, tie_N: Hashes, b: int
) -> tuple[Rows, Array]:
    """Return `b` open rows: the medoid of each cluster, largest cluster first, then farthest-first.

    Args:
        x_N_d: points.
        clusters: their clustering; at most `b` clusters have open members.
        centres: rows that are covered already; they only matter for the completion.
        open_N: rows that may be picked; at least `b`.
        tie_N: smallest wins.
        b: number of picks.

    Returns:
        Rows in the order picked, and how many rows each stands for: the size of its cluster, 0 for the completion.
    """
    medoid_k, size_k = medoids(clusters, open_N, tie_N), clusters.size_k
    given = np.flatnonzero(medoid_k >= 0)
    given = given[np.lexsort((tie_N[medoid_k[given]], -size_k[given]))]
    rows, stands_for = medoid_k[given], size_k[given].astype(np.float64)
    return complete(x_N_d, rows, centres, open_N, tie_N, b), np.append(stands_for, np.zeros(b - len(rows)))


def representatives_of_all(x_n_d: Array, clusters: Clusters, tie_n: Hashes, b: int) -> tuple[Rows, Array]:
    """Return `representatives` where every row may be picked and nothing is covered yet."""
    everything, nothing = np.ones(len(x_n_d), np.bool_), np.empty(0, np.intp)
    return representatives(x_n_d, clusters, nothing, everything, tie_n, b)


def complete(x_N_d: Array, rows: Rows, centres: Rows, open_N: Bools, tie_N: Hashes, b: int) -> Rows:
    """Return `rows` followed by as many farthest-first rows as are missing to `b`, with `centres` covered already."""
    if len(rows) >= b:
        return rows[:b]
    open_N = open_N.copy()
    open_N[rows] = False
    more, _ = farthest_first(x_N_d, np.concatenate([centres, rows]), open_N, tie_N, b - len(rows))
    return np.concatenate([rows, more])
