"""Average linkage beside scikit-learn, scipy, fastcluster and plain numpy."""

import numpy as np
from machine import products
from measure import alternate
from ours import average_linkage
from references import naive_average_linkage
from settings import scaled
from structured import points

from rows.table import ALONE, Row, at_least, at_most, row, table, times

BELOW = 0.6
"""Mean cosine distance at which merging ends."""


def scikit_learn(x: np.ndarray) -> np.ndarray:
    from sklearn.cluster import AgglomerativeClustering

    rule = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=BELOW)
    return rule.fit(x).labels_


def scipy_linkage(x: np.ndarray) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage

    return fcluster(linkage(x, "average", "cosine"), BELOW, "distance")


def fast_cluster(x: np.ndarray) -> np.ndarray:
    import fastcluster
    from scipy.cluster.hierarchy import fcluster

    return fcluster(fastcluster.linkage(x, "average", "cosine"), BELOW, "distance")


@row
def clusters() -> list[Row]:
    from sklearn.metrics import adjusted_rand_score

    rows = []
    for N, large in ((scaled(10_000, 500), False), (scaled(50_000, 1000), True)):
        d = 64
        x, _ = points(N, d)
        average_linkage(x[:500], BELOW)
        calls = {"querist": lambda x=x: average_linkage(x, BELOW)}
        if ALONE and not large:
            calls |= {
                "scikit-learn": lambda x=x: scikit_learn(x),
                "scipy": lambda x=x: scipy_linkage(x),
                "fastcluster": lambda x=x: fast_cluster(x),
                "naive numpy": lambda x=x: naive_average_linkage(x, BELOW),
            }
        found = alternate(calls)
        mine = found["querist"].result
        same = {f"ARI with {n}": round(adjusted_rand_score(m.result, mine), 6) for n, m in found.items()}
        same.pop("ARI with querist")
        if large:
            goals = [at_most(200, "MB beyond the features", found["querist"].megabytes)]
            notes = ["the others want N x N distances, 10 to 20 GB, and were not run"]
        else:
            goals = [times(found, "scikit-learn", 10)] if ALONE else []
            goals += [at_least(1, "ARI with scikit-learn", same["ARI with scikit-learn"])] if ALONE else []
            notes = []
        rows.append(
            table(
                "average linkage", f"{N} x {d}, cosine below {BELOW}", found,
                limit=("the products of one half pass over all pairs", products(N, N, d) / 2), goals=goals, notes=notes,
                **same, clusters=len(set(mine.tolist())),
            )
        )  # fmt: skip
    return rows
