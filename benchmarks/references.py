"""The same rules in plain numpy and scikit-learn, and what a result is worth."""

import heapq

import numpy as np


def naive_farthest_first(x: np.ndarray, centre: int, b: int) -> np.ndarray:
    squared = np.einsum("nd,nd->n", x, x)
    near, rows = np.full(len(x), np.inf, x.dtype), [centre]
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


def naive_uncertainty(p: np.ndarray, b: int) -> list[np.ndarray]:
    """The top `b` by entropy, by margin and by least confidence, one whole array after the other."""
    two = np.partition(p, -2, axis=1)[:, -2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(p * np.log(p), axis=1)
    return [np.argpartition(-score, b)[:b] for score in (entropy, two[:, 0] - two[:, 1], -two[:, 1])]


def naive_information(p_k_n_c: list[np.ndarray], b: int) -> np.ndarray:
    """The top `b` by entropy of the mean minus mean of the entropies."""
    mean = sum(p_k_n_c[1:], p_k_n_c[0]) / np.float32(len(p_k_n_c))
    score = -(mean * np.log(mean)).sum(axis=1)
    for p in p_k_n_c:
        score += (p * np.log(p)).sum(axis=1) / len(p_k_n_c)
    return np.argpartition(-score, b)[:b]


def naive_joint(p_k_n_c: list[np.ndarray], b: int) -> np.ndarray:
    """Greedy joint information with all configurations of labels: one product and one logarithm a candidate."""
    p_n_k_c = np.stack(p_k_n_c, axis=1).astype(np.float64)
    n, k = p_n_k_c.shape[:2]
    single = -(p_n_k_c * np.log(p_n_k_c)).sum(axis=2).mean(axis=1)
    joint_m_k, rows = np.ones((1, k)), []
    for _ in range(b):
        gain = np.empty(n)
        for i in range(n):
            q = joint_m_k @ p_n_k_c[i] / k
            gain[i] = -(q * np.log(q)).sum() - single[i]
        gain[rows] = -np.inf
        rows.append(int(gain.argmax()))
        joint_m_k = (joint_m_k[:, None, :] * p_n_k_c[rows[-1]].T[None]).reshape(-1, k)
    return np.array(rows)


def naive_balls(x: np.ndarray, delta: float, tie: np.ndarray, b: int) -> np.ndarray:
    """Balls that cover the most rows, from the N x N array of who is near whom."""
    # In float64: one pair on the wrong side of the radius changes all picks that follow.
    near, x = np.empty((len(x), len(x)), np.bool_), x.astype(np.float64)
    squared = np.square(x).sum(axis=1)
    for start in range(0, len(x), 1024):
        part = slice(start, start + 1024)
        near[part] = squared[part, None] + squared - 2.0 * (x[part] @ x.T) < delta**2
    np.fill_diagonal(near, True)
    degree, covered = near.sum(axis=0), np.zeros(len(x), np.bool_)
    rows: list[int] = []
    while len(rows) < b and degree.max() > 0:
        best = np.flatnonzero(degree == degree.max())
        rows.append(int(best[tie[best].argmin()]))
        fresh = near[rows[-1]] & ~covered
        covered |= fresh
        degree -= near[fresh].sum(axis=0)
    return np.array(rows)


def covered_by_balls(x: np.ndarray, delta: float, rows: np.ndarray) -> int:
    squared = np.square(x, dtype=np.float64).sum(axis=1)
    covered = np.zeros(len(x), np.bool_)
    for r in rows:
        covered |= squared + squared[r] - 2.0 * (x @ x[r]).astype(np.float64) < delta**2
    return int(covered.sum())


def halved_cosine(x: np.ndarray) -> np.ndarray:
    """``(1 + cos) / 2`` of all pairs of unit rows, N x N float64: what peers want to be given."""
    s = (x @ x.T).astype(np.float64)
    s += 1.0
    s *= 0.5
    return s


def naive_facility(x: np.ndarray, b: int) -> np.ndarray:
    """Lazy greedy facility location on the N x N array of similarities."""
    s = (np.float32(1.0) + x @ x.T) * np.float32(0.5)
    best, rows = np.zeros(len(x), np.float32), []
    heap = [(-float(gain), i) for i, gain in enumerate(s.sum(axis=0, dtype=np.float64))]
    heapq.heapify(heap)
    while len(rows) < b:
        _, i = heap[0]
        gain = float(np.maximum(s[i] - best, 0).sum(dtype=np.float64))
        heapq.heapreplace(heap, (-gain, i))
        if heap[0][1] == i:
            heapq.heappop(heap)
            rows.append(i)
            np.maximum(best, s[i], out=best)
    return np.array(rows)


def facility_value(x: np.ndarray, rows: np.ndarray) -> float:
    """``sum_i max_j (1 + cos) / 2``."""
    return sum(
        float((0.5 + 0.5 * (x[s : s + 1024] @ x[rows].T).max(axis=1).astype(np.float64)).sum())
        for s in range(0, len(x), 1024)
    )


def naive_neighbours(x: np.ndarray, k: int) -> np.ndarray:
    """The `k` nearest others of every row: products by blocks, partition, sort."""
    found = np.empty((len(x), k), np.intp)
    for start in range(0, len(x), 512):
        product = x[start : start + 512] @ x.T
        product[np.arange(len(product)), np.arange(start, start + len(product))] = -np.inf
        near = np.argpartition(-product, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(product, near, axis=1), axis=1)
        found[start : start + 512] = np.take_along_axis(near, order, axis=1)
    return found


def naive_kmeans(x: np.ndarray, k: int, iterations: int) -> np.ndarray:
    """Lloyd's iterations from random rows: one product, one argmax, sums by `np.add.at`."""
    centres = x[np.random.default_rng(0).choice(len(x), k, replace=False)].copy()
    label = np.empty(len(x), np.intp)
    for _ in range(iterations):
        half = 0.5 * np.square(centres).sum(axis=1)
        for start in range(0, len(x), 4096):
            part = slice(start, start + 4096)
            label[part] = (x[part] @ centres.T - half).argmax(axis=1)
        total = np.zeros(centres.shape, np.float64)
        np.add.at(total, label, x)
        size = np.bincount(label, minlength=k)
        centres[size > 0] = total[size > 0] / size[size > 0, None]
    return centres.astype(np.float64)


def mean_typicality(x: np.ndarray, rows: np.ndarray, k: int = 20) -> float:
    """1 / (mean distance to the `k` nearest others in the whole pool), averaged over picks: the same for everybody."""
    product = x[rows] @ x.T
    product[np.arange(len(rows)), rows] = -np.inf
    near = np.partition(product, -k, axis=1)[:, -k:].astype(np.float64)
    return float((1.0 / np.sqrt(np.maximum(2.0 - 2.0 * near, 1e-12)).mean(axis=1)).mean())


def naive_average_linkage(x: np.ndarray, below: float) -> np.ndarray:
    """Labels of average linkage by cosine distance: chains of nearest neighbours in the N x N array."""
    gap = 1.0 - x @ x.T
    np.fill_diagonal(gap, np.inf)
    size, parent, alive = np.ones(len(x)), np.arange(len(x)), np.ones(len(x), np.bool_)
    chain: list[int] = []
    for _ in range(len(x) - 1):
        if not chain:
            chain = [int(alive.argmax())]
        while True:
            near = int(gap[chain[-1]].argmin())
            if len(chain) > 1 and gap[chain[-1], near] >= gap[chain[-1], chain[-2]]:
                break
            chain.append(near)
        b, a = chain.pop(), chain.pop()
        if gap[a, b] < below:
            parent[b] = a
        row = (size[a] * gap[a] + size[b] * gap[b]) / (size[a] + size[b])
        size[a] += size[b]
        row[a] = np.inf
        gap[a], gap[:, a] = row, row
        gap[b], gap[:, b], alive[b] = np.inf, np.inf, False
    while (parent != parent[parent]).any():
        parent = parent[parent]
    return parent
