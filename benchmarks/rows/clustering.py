"""k-means and TypiClust beside scikit-learn, faiss and plain numpy."""

import numpy as np
from machine import products
from measure import alternate
from ours import MAX_CLUSTERS, kmeans as our_kmeans, typiclust as our_typiclust
from references import inertia, mean_typicality, minibatch_typiclust, naive_kmeans
from settings import THREADS, scaled
from structured import points

from rows.table import Row, at_least, at_most, row, table, times

ITERATIONS = 20
FEWER = (1, 2, 3, 4, 6, 8, 12, ITERATIONS)


def faiss_centres(x: np.ndarray, k: int) -> np.ndarray:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    found = faiss.Kmeans(x.shape[1], k, niter=ITERATIONS, max_points_per_centroid=10**9, seed=1)
    found.train(x)
    return found.centroids.astype(np.float64)


def sklearn_centres(x: np.ndarray, k: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=1, random_state=0).fit(x).cluster_centers_.astype(np.float64)


@row
def kmeans() -> list[Row]:
    N, d, k = scaled(50_000, 1000), 64, scaled(1000, 10)
    x, _ = points(N, d)
    our_kmeans(x[:500], 20)
    reached = inertia(x, faiss_centres(x, k))
    # The fewest iterations that are worth as much as faiss's twenty.
    few = next((i for i in FEWER if inertia(x, our_kmeans(x, k, i).centres_k_d) <= reached), ITERATIONS)
    ours_too = f"querist, {few} iterations"
    found = alternate({
        "querist": lambda: our_kmeans(x, k).centres_k_d,
        ours_too: lambda: our_kmeans(x, k, few).centres_k_d,
        "faiss": lambda: faiss_centres(x, k),
        "scikit-learn": lambda: sklearn_centres(x, k),
        "naive numpy": lambda: naive_kmeans(x, k, ITERATIONS),
    })  # fmt: skip
    reached = {name: inertia(x, m.result) for name, m in found.items()}
    equal = {"querist": found[ours_too], "faiss": found["faiss"]}
    goals = [
        times(found, "scikit-learn", 6),
        at_most(1.005, "times the inertia of scikit-learn", reached["querist"] / reached["scikit-learn"]),
        times(equal, "faiss", 1),
        at_most(1, f"times the inertia of faiss, in {few} iterations", reached[ours_too] / reached["faiss"]),
    ]
    limit = "the products of 20 assignments", products(N, k, d) * ITERATIONS
    inertias = {f"inertia of {name}": round(value, 1) for name, value in reached.items()}
    return [table("k-means", f"{N} x {d}, k={k}", found, limit=limit, goals=goals, **inertias)]


@row
def typiclust() -> list[Row]:
    N, d, b = scaled(50_000, 2000), 64, scaled(1000, 20)
    x, _ = points(N, d)
    our_typiclust(x[:2000], 20)
    peer = "MiniBatchKMeans + NearestNeighbors"
    found = alternate({
        "querist": lambda: our_typiclust(x, b),
        peer: lambda: minibatch_typiclust(x, b, min(b, MAX_CLUSTERS)),
    })  # fmt: skip
    typical = {f"mean typicality of {name}": round(mean_typicality(x, m.result), 4) for name, m in found.items()}
    picks = {f"distinct picks of {name}": len(set(np.asarray(m.result).tolist())) for name, m in found.items()}
    goals = [times(found, peer, 2), at_least(b, "distinct picks", picks["distinct picks of querist"])]
    limit = "the products of 20 assignments of k-means", products(N, min(b, MAX_CLUSTERS), d) * ITERATIONS
    return [
        table(
            "typiclust", f"{N} x {d}, b={b}", found, limit=limit, goals=goals, **typical, **picks,
            notes=["the rule built from scikit-learn's parts is the naive reference too"],
        )
    ]  # fmt: skip
