"""The same rules in plain numpy and scikit-learn, and what a result is worth."""

import numpy as np


def naive_farthest_first(x: np.ndarray, centre: int, b: int) -> np.ndarray:
    squared = np.einsum("nd,nd->n", x, x)
    near, rows = np.full(len(x), np.inf, np.float32), [centre]
    for _ in range(b):
        c = rows[-1]
        np.minimum(near, np.maximum(squared + squared[c] - 2 * (x @ x[c]), 0), out=near)
        rows.append(int(near.argmax()))
    return np.array(rows[1:])


def residuals(p: np.ndarray) -> np.ndarray:
    a = p.copy()
    a[np.arange(len(a)), a.argmax(axis=1)] -= 1
    return a


def near_after(a: np.ndarray, z: np.ndarray, size: np.ndarray, near: np.ndarray, c: int) -> np.ndarray:
    return np.minimum(near, np.maximum(size + size[c] - 2 * (a @ a[c]) * (z @ z[c]), 0))


def naive_seeding(a: np.ndarray, z: np.ndarray, b: int, seed: int) -> np.ndarray:
    """k-means++ on factored gradients: two matrix-vector products and one draw a pick."""
    rng = np.random.default_rng(seed)
    size = np.einsum("nc,nc->n", a, a) * np.einsum("nd,nd->n", z, z)
    rows, near = [int(size.argmax())], np.full(len(a), np.inf, np.float32)
    while len(rows) < b:
        near = near_after(a, z, size, near, rows[-1])
        near[rows[-1]] = 0
        cumulated = np.cumsum(near, dtype=np.float64)
        rows.append(int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")))
    return np.array(rows)


def potential(a: np.ndarray, z: np.ndarray, rows: np.ndarray) -> float:
    size = np.einsum("nc,nc->n", a, a) * np.einsum("nd,nd->n", z, z)
    near = np.full(len(a), np.inf, np.float32)
    for c in rows:
        near = near_after(a, z, size, near, c)
    return float(near.sum(dtype=np.float64))


class GivenProbabilities:
    """As much of a classifier as modAL's strategies use."""

    def __init__(self, p: np.ndarray) -> None:
        self.p = p

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.p


def inertia(x: np.ndarray, centres: np.ndarray) -> float:
    total, half = 0.0, 0.5 * np.square(centres).sum(axis=1)
    for start in range(0, len(x), 1024):
        part = x[start : start + 1024].astype(np.float64)
        gap = np.square(part).sum(axis=1) - 2 * (part @ centres.T - half).max(axis=1)
        total += float(np.maximum(gap, 0).sum())
    return total


def minibatch_typiclust(x: np.ndarray, b: int, clusters: int = 500) -> np.ndarray:
    """The same rule from scikit-learn's parts: clusters by size in turn, the most typical row left in each."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.neighbors import NearestNeighbors

    label = MiniBatchKMeans(clusters, batch_size=5000, random_state=0).fit_predict(x)
    size = np.bincount(label, minlength=clusters)
    members = [np.flatnonzero(label == c) for c in np.argsort(-size, kind="stable") if size[c] > 5]
    picks: list[int] = []
    while len(picks) < b:
        for place, rows in enumerate(members):
            if len(picks) == b or not len(rows):
                continue
            near = min(20, max(1, len(rows) // 2))
            gap = NearestNeighbors(n_neighbors=min(near + 1, len(rows))).fit(x[rows]).kneighbors(x[rows])[0]
            best = int(gap[:, 1:].mean(axis=1).argmin()) if len(rows) > 1 else 0
            picks.append(int(rows[best]))
            members[place] = np.delete(rows, best)
    return np.array(picks)
