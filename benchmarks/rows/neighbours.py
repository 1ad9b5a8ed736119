"""The graph of nearest neighbours beside faiss, scikit-learn and plain numpy."""

import numpy as np
from machine import products
from measure import alternate
from ours import nearest_neighbours
from references import naive_neighbours
from settings import THREADS, scaled
from structured import points

from rows.table import ALONE, Row, at_least, row, table, times


def faiss_flat(x: np.ndarray, k: int) -> np.ndarray:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    return without_itself(index.search(x, k + 1)[1])


def scikit_learn(x: np.ndarray, k: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors(return_distance=False)


def without_itself(found: np.ndarray) -> np.ndarray:
    """Drop each row's own number, or the last where it is not among the found."""
    itself = found == np.arange(len(found))[:, None]
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(len(found), -1)


def farther(x: np.ndarray, found: np.ndarray, exact: np.ndarray) -> int:
    """Count the rows whose farthest found neighbour is farther than the exact one, by sums in float64."""
    gaps = []
    for near in (found, exact):
        gap = [
            np.square(x[near[s : s + 512]].astype(np.float64) - x[s : s + 512, None].astype(np.float64)).sum(2).max(1)
            for s in range(0, len(x), 512)
        ]
        gaps.append(np.concatenate(gap))
    return int((gaps[0] > gaps[1]).sum())


@row
def neighbours() -> list[Row]:
    N, d, k = scaled(50_000, 1000), 64, 50
    x, _ = points(N, d)
    nearest_neighbours(x[:500], k)
    calls = {
        "querist": lambda: nearest_neighbours(x, k),
        "faiss flat": lambda: faiss_flat(x, k),
        "naive numpy": lambda: naive_neighbours(x, k),
    }
    if ALONE:
        calls["scikit-learn"] = lambda: scikit_learn(x, k)
    found = alternate(calls)
    mine = found["querist"].result
    # Products in float32 confuse neighbours that are nearly as near; ours must be the nearer wherever they differ.
    missed = sum(farther(x, mine, m.result) for name, m in found.items() if name != "querist")
    agreed = {
        f"share of neighbours in common with {name}": round(
            float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(mine[::50], m.result[::50], strict=True)]) / k), 6
        )
        for name, m in found.items()
        if name != "querist"
    }
    goals = [
        times(found, "faiss flat", 1),
        at_least(1, "of the rows with no nearer set found by anybody", 1.0 - missed / N),
    ]
    limit = "the products of one half pass over all pairs", products(N, N, d) / 2
    return [table("nearest neighbours", f"{N} x {d}, k={k}", found, limit=limit, goals=goals, **agreed)]
