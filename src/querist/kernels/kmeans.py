"""k-means with restarts, and the member of each cluster nearest to its centre."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from querist.arrays import Array, Bools, Hashes, Rows
from querist.kernels.jit import dense, jit
from querist.kernels.kmeans_lloyd import lloyd
from querist.kernels.kmeans_starts import starts
from querist.kernels.threads import single_threaded_blas
from querist.progress import tell


class Clusters(NamedTuple):
    """A clustering into `k` groups, some of which may be empty."""

    centres_k_d: Array
    """Means of the members, float64; an empty cluster keeps the last place it had."""
    label_N: Rows  # noqa: N815 - axis letters
    """The cluster of each row."""
    gap_N: Array  # noqa: N815
    """Squared distance of each row to its centre, float64."""

    @property
    def inertia(self) -> float:
        """The sum of squared distances to the centres."""
        return float(self.gap_N.sum())

    @property
    def size_k(self) -> npt.NDArray[np.intp]:
        """Members per cluster."""
        return np.bincount(self.label_N, minlength=len(self.centres_k_d))


@single_threaded_blas()
def kmeans(
    x_N_d: Array,
    k: int,
    generator: np.random.Generator,
    *,
    weight_N: Array | None = None,
    restarts: int = 1,
    iterations: int = 20,
) -> Clusters:
    """Return the best of several k-means clusterings.

    Each start is a greedy k-means++ (2 + ln k candidates per centre; Arthur & Vassilvitskii, SODA 2007), followed by
    Lloyd's iterations until nothing changes. The rows' order is part of the input: pass them in order of their ids.

    Args:
        x_N_d: points.
        k: number of clusters, ``1 <= k <= N``. With fewer distinct points than that some clusters stay empty.
        generator: where the starts come from.
        weight_N: how much a row counts, not negative and not all 0; without them every row counts 1, and weights that
            are all 1 change no bit.
        restarts: independent starts, of which the one with the lowest inertia, each row times its weight, is kept.
        iterations: the most updates of the centres.
    """
    x_N_d = dense(x_N_d)
    weight_N = None if weight_N is None else np.array(weight_N, np.float64)

    def run(restart: int) -> Clusters:
        start_k_d = starts(x_N_d, k, generator, weight_N)
        centres_k_d, label_N = lloyd(
            x_N_d, start_k_d, iterations, weight_N=weight_N, restart=restart, restarts=restarts
        )  # fmt: skip
        gap_N = np.empty(len(x_N_d))
        _own_gap(x_N_d, centres_k_d, label_N, gap_N)
        return Clusters(centres_k_d, label_N, gap_N)

    def inertia(clusters: Clusters) -> float:
        return clusters.inertia if weight_N is None else float((weight_N * clusters.gap_N).sum())

    best = run(0)
    for restart in range(1, restarts):
        best = min(best, run(restart), key=inertia)
    tell("clustering", restarts * iterations, restarts * iterations)
    return best


def medoids(clusters: Clusters, open_N: Bools, tie_N: Hashes) -> Rows:
    """Return for each cluster its open member nearest to the centre, ties by smallest `tie_N`; -1 if it has none."""
    rows = np.flatnonzero(open_N)
    label = clusters.label_N[rows]
    order = np.lexsort((tie_N[rows], clusters.gap_N[rows], label))
    found, first = np.unique(label[order], return_index=True)
    medoid_k = np.full(len(clusters.centres_k_d), -1, np.intp)
    medoid_k[found] = rows[order[first]]
    return medoid_k


@jit
def _own_gap(x_N_d, centres_k_d, label_N, gap_N):
    """Fill `gap_N` with the squared distance of every row to the centre of its own cluster."""
    for i in range(len(x_N_d)):
        u, v = x_N_d[i], centres_k_d[label_N[i]]
        total = 0.0
        for j in range(len(u)):
            difference = u[j] - v[j]
            total += difference * difference
        gap_N[i] = total
