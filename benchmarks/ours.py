"""Our kernels as they are called by the strategies, on arrays, with the threads of the benchmark."""

from collections.abc import Sequence

import numpy as np
from settings import THREADS

from querist.kernels import scores
from querist.kernels.coverage import Similarity
from querist.kernels.draws import mutual_information
from querist.kernels.farthest_first import farthest_first as farthest_first_kernel
from querist.kernels.joint import joint_information
from querist.kernels.kmeans import Clusters, kmeans as kmeans_kernel
from querist.kernels.linkage import average_linkage as linkage_kernel
from querist.kernels.neighbours import nearest_neighbours as neighbours_kernel
from querist.kernels.radius_graph import cover_greedily, radius_graph
from querist.kernels.seeding import gradient_seeding
from querist.kernels.top import top_b
from querist.kernels.truncation import Cover, certified_cover
from querist.kernels.typicality import typical_rows
from querist.kernels.workers import workers
from querist.seeds import Seed

MAX_CLUSTERS = 500
"""As in typiclust."""

LIMIT = 200_000
"""As in the strategies that cover: larger pools are sampled."""

NOTHING = np.empty(0, np.intp)


def ties(N: int) -> np.ndarray:
    return Seed(0).key().hash(np.arange(N))


def farthest_first(x: np.ndarray, b: int) -> np.ndarray:
    """Row 0 is labelled."""
    everything = np.arange(len(x))
    with workers(THREADS):
        return farthest_first_kernel(x, everything[:1], everything > 0, ties(len(x)), b)[0]


def seeding(a: np.ndarray, z: np.ndarray, b: int, seed: int = 0) -> np.ndarray:
    with workers(THREADS):
        return gradient_seeding(a, z, b, np.arange(len(a)), Seed(seed).key())[0]


def top_uncertainties(p: np.ndarray, b: int) -> list[np.ndarray]:
    """The top `b` by entropy, by margin and by least confidence."""
    tie = ties(len(p))
    with workers(THREADS):
        return [top_b(score, tie, b) for score in scores.uncertainty(p)]


def top_entropy(p: np.ndarray, b: int) -> np.ndarray:
    with workers(THREADS):
        return top_b(scores.entropy(p), ties(len(p)), b)


def top_margin(p: np.ndarray, b: int) -> np.ndarray:
    with workers(THREADS):
        return top_b(scores.margin(p), ties(len(p)), b)


def top_information(draws: Sequence[np.ndarray], b: int) -> np.ndarray:
    with workers(THREADS):
        return top_b(mutual_information(draws), ties(len(draws[0])), b)


def joint(draws: Sequence[np.ndarray], b: int, samples: int) -> np.ndarray:
    with workers(THREADS):
        return joint_information(
            draws, b, ties(len(draws[0])), samples=samples, generator=lambda step: np.random.default_rng(step)
        )[0]


def kmeans(x: np.ndarray, k: int, iterations: int = 20) -> Clusters:
    with workers(THREADS):
        return kmeans_kernel(x, k, np.random.default_rng(0), iterations=iterations)


def typiclust(x: np.ndarray, b: int) -> np.ndarray:
    clusters = kmeans(x, min(b, MAX_CLUSTERS))
    with workers(THREADS):
        return typical_rows(x, clusters.label_N, np.ones(len(x), np.bool_), ties(len(x)), b)[0]


def prob_cover(x: np.ndarray, delta: float, b: int) -> np.ndarray:
    with workers(THREADS):
        graph = radius_graph(x, delta)
        return cover_greedily(graph, NOTHING, np.ones(len(x), np.bool_), ties(len(x)), b)[0]


def average_linkage(x: np.ndarray, below: float) -> np.ndarray:
    with workers(THREADS):
        return linkage_kernel(x, ties(len(x)), below=below).label_N


def nearest_neighbours(x: np.ndarray, k: int) -> np.ndarray:
    with workers(THREADS):
        return neighbours_kernel(x, k)[0]


def cover(x: np.ndarray, similarity: Similarity, b: int, weight: np.ndarray | None = None) -> Cover:
    everything = np.arange(len(x))
    with workers(THREADS):
        return certified_cover(
            x, similarity, everything[:0], everything >= 0, ties(len(x)), b, weight,
            limit=LIMIT, sample_N=Seed(1).key().hash(everything),
        )  # fmt: skip
