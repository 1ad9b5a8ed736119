"""Selection kernels beside installed peers and plain numpy, in alternating calls on the same arrays.

``python benchmarks/selection.py k_center badge`` measures the rows named and puts them into
``benchmarks/results/selection.json`` and ``.md`` beside those measured before; without a name it lists the rows. Ours
and the peers' libraries use two threads, or as many as the environment variable ``BENCH_THREADS`` says: one is fairer
on a busy machine, where threads that wait for one another lose most. Times are the best of three, of one call where a
call takes more than 20 s.
"""

import json
import os
import platform
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from measure import Measured, alternate, load
from references import (
    GivenProbabilities,
    inertia,
    minibatch_typiclust,
    naive_farthest_first,
    naive_seeding,
    potential,
    residuals,
)  # fmt: skip
from structured import points, probabilities
from threadpoolctl import threadpool_limits

from querist.kernels import scores as score_kernels
from querist.kernels.farthest_first import farthest_first
from querist.kernels.kmeans import kmeans as kmeans_kernel
from querist.kernels.seeding import gradient_seeding
from querist.kernels.top import top_b
from querist.kernels.typicality import typical_rows
from querist.kernels.workers import workers
from querist.seeds import Seed

RESULTS = Path(__file__).parent / "results" / "selection.json"
PEERS = ("scikit-activeml", "modAL-python", "faiss-cpu", "scikit-learn", "numpy", "numba")
THREADS = int(os.environ.get("BENCH_THREADS", "2"))
Row = dict[str, Any]
ROWS: dict[str, Callable[[], list[Row]]] = {}


def row(function: Callable[[], list[Row]]) -> Callable[[], list[Row]]:
    ROWS[function.__name__] = function
    return function


def table(kernel: str, workload: str, found: dict[str, Measured], **quality: Any) -> Row:
    """One row: seconds and memory of everybody, and how many times longer than ours the others took."""
    ours = found["querist"]
    return {
        "kernel": kernel, "workload": workload, "threads": THREADS, "load": load(),
        "seconds": {name: round(m.seconds, 4) for name, m in found.items()},
        "ratio": {name: round(m.seconds / ours.seconds, 2) for name, m in found.items() if name != "querist"},
        "extra_MB": {name: round(m.megabytes) for name, m in found.items()},
        "calls": {name: m.repeats for name, m in found.items()},
        "quality": quality,
    }  # fmt: skip


# k-center -----------------------------------------------------------------------------------------------------------


def ours_farthest_first(x: np.ndarray, b: int) -> np.ndarray:
    everything = np.arange(len(x))
    with workers(THREADS):
        return farthest_first(x, everything[:1], everything > 0, Seed(0).key().hash(everything), b)[0]


@row
def k_center() -> list[Row]:
    from skactiveml.pool import CoreSet

    rows = []
    for N, d, b in ((10_000, 64, 100), (50_000, 64, 1000), (50_000, 512, 1000)):
        x, _ = points(N, d)
        y = np.full(N, np.nan)
        y[0] = 0
        ours_farthest_first(x[:3000], 10)
        found = alternate({
            "querist": lambda x=x, b=b: ours_farthest_first(x, b),
            "scikit-activeml": lambda x=x, y=y, b=b: np.asarray(CoreSet(random_state=0).query(x, y, batch_size=b)),
            "naive numpy": lambda x=x, b=b: naive_farthest_first(x, 0, b),
        })  # fmt: skip
        mine = found["querist"].result
        same = {f"same picks as {name}": int((found[name].result == mine).sum()) for name in found if name != "querist"}
        rows.append(table("k_center_greedy", f"{N} x {d}, b={b}", found, **same))
    return rows


@row
def k_center_large() -> list[Row]:
    N, d, b, steps = 1_280_000, 512, 1000, 100
    x, _ = points(N, d)
    half = x.astype(np.float16)
    ours_farthest_first(x[:3000], 10)
    ours_farthest_first(half[:3000], 10)
    found = alternate({
        "querist": lambda: ours_farthest_first(x, b),
        "querist float16": lambda: ours_farthest_first(half, b),
        "naive numpy, 100 steps": lambda: naive_farthest_first(x, 0, steps),
    }, repeats=2)  # fmt: skip
    same = int((found["querist"].result[:steps] == found["naive numpy, 100 steps"].result).sum())
    times = {
        "same picks as naive numpy, of the first 100": same,
        "share of naive numpy, extrapolated": round(
            found["querist"].seconds * steps / (found["naive numpy, 100 steps"].seconds * b), 4
        ),
    }
    return [table("k_center_greedy", f"{N} x {d}, b={b}", found, **times)]


# BADGE --------------------------------------------------------------------------------------------------------------


def ours_seeding(a: np.ndarray, z: np.ndarray, b: int, seed: int = 0) -> np.ndarray:
    with workers(THREADS):
        return gradient_seeding(a, z, b, np.arange(len(a)), Seed(seed).key())[0]


def potentials(a: np.ndarray, z: np.ndarray, b: int, seeds: int) -> Row:
    ours = np.array([potential(a, z, ours_seeding(a, z, b, s)) for s in range(seeds)])
    naive = np.array([potential(a, z, naive_seeding(a, z, b, s)) for s in range(seeds)])
    error = np.hypot(ours.std(ddof=1) / ours.mean(), naive.std(ddof=1) / naive.mean()) / np.sqrt(seeds)
    return {
        f"potential / naive, mean of {seeds} seeds": round(float(ours.mean() / naive.mean()), 5),
        "standard error of that": round(float(error), 5),
    }


def scikit_activeml_badge(p: np.ndarray, x: np.ndarray, b: int) -> list[int]:
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    class Given(SkactivemlClassifier):
        """A classifier whose probabilities are known."""

        def fit(self, X: np.ndarray, y: np.ndarray) -> "Given":
            return self

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return p

    clf = Given(classes=list(range(p.shape[1])))
    return Badge(random_state=0).query(x, np.full(len(x), np.nan), clf, fit_clf=False, batch_size=b)


@row
def badge() -> list[Row]:
    rows = []
    for N, d, c, b, seeds in ((10_000, 64, 100, 100, 30), (50_000, 512, 100, 1000, 3)):
        x, group = points(N, d)
        p = probabilities(x, group, c)
        a = residuals(p)
        ours_seeding(a[:3000], x[:3000], 10)
        calls = {
            "querist": lambda a=a, x=x, b=b: ours_seeding(a, x, b),
            "naive numpy": lambda a=a, x=x, b=b: naive_seeding(a, x, b, 0),
        }
        if N == 10_000:
            calls["scikit-activeml"] = lambda p=p, x=x, b=b: scikit_activeml_badge(p, x, b)
        found = alternate(calls)
        rows.append(table("badge", f"{N} x {d}, C={c}, b={b}", found, **potentials(a, x, b, seeds)))
    return rows


@row
def badge_large() -> list[Row]:
    N, d, c, b, steps = 1_280_000, 512, 100, 1000, 20
    x, group = points(N, d)
    a = residuals(probabilities(x, group, c))
    ours_seeding(a[:3000], x[:3000], 10)
    found = alternate({
        "querist": lambda: ours_seeding(a, x, b),
        "naive numpy, 20 picks": lambda: naive_seeding(a, x, steps, 0),
    })  # fmt: skip
    share = found["querist"].seconds * (steps - 1) / (found["naive numpy, 20 picks"].seconds * (b - 1))
    return [
        table("badge", f"{N} x {d}, C={c}, b={b}", found, **{"share of naive numpy, extrapolated": round(share, 4)})
    ]


# Scores -------------------------------------------------------------------------------------------------------------


@row
def scores() -> list[Row]:
    from modAL import uncertainty as modal
    from skactiveml.pool import uncertainty_scores

    rows, b = [], 1000
    for N, c in ((1_280_000, 100), (1_280_000, 10)):
        rng = np.random.default_rng(0)
        p = rng.standard_gamma(0.3, size=(N, c)).astype(np.float32) + np.float32(1e-20)
        p /= p.sum(axis=1, keepdims=True)
        tie, given = Seed(0).key().hash(np.arange(N)), GivenProbabilities(p)

        def ours(p: np.ndarray = p, tie: Any = tie) -> list[np.ndarray]:
            with workers(THREADS):
                return [top_b(score, tie, b) for score in score_kernels.uncertainty(p)]

        def ours_entropy(p: np.ndarray = p, tie: Any = tie) -> np.ndarray:
            with workers(THREADS):
                return top_b(score_kernels.entropy(p), tie, b)

        def theirs(method: str, p: np.ndarray = p) -> np.ndarray:
            # Its own batch step writes b x N utilities, 10 GB here; plain numpy picks from its scores instead.
            return np.argpartition(-uncertainty_scores(p, method=method), b)[:b]

        def ours_margin(p: np.ndarray = p, tie: Any = tie) -> np.ndarray:
            with workers(THREADS):
                return top_b(score_kernels.margin(p), tie, b)

        score_kernels.uncertainty(p[:100])
        found = alternate({
            "querist": ours,
            "querist, entropy alone": ours_entropy,
            "querist, margin alone": ours_margin,
            "scikit-activeml, entropy alone": lambda: theirs("entropy"),
            "scikit-activeml, margin alone": lambda: theirs("margin_sampling"),
            "modAL, entropy alone": lambda given=given, p=p: modal.entropy_sampling(given, p, n_instances=b),
            "modAL, margin alone": lambda given=given, p=p: modal.margin_sampling(given, p, n_instances=b),
        })  # fmt: skip
        rows.append(table("entropy + margin + least confidence, top 1000 of each", f"{N} x {c}", found))
    return rows


# k-means and TypiClust ----------------------------------------------------------------------------------------------


def faiss_centres(x: np.ndarray, k: int, iterations: int) -> np.ndarray:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    found = faiss.Kmeans(x.shape[1], k, niter=iterations, max_points_per_centroid=10**9, seed=1)
    found.train(x)
    return found.centroids.astype(np.float64)


@row
def kmeans() -> list[Row]:
    return [clusterings(50_000, 64, 1000, ("scikit-learn", "faiss"))]


@row
def kmeans_wide() -> list[Row]:
    return [clusterings(50_000, 512, 1000, ("faiss",))]


def clusterings(N: int, d: int, k: int, peers: tuple[str, ...]) -> Row:
    from sklearn.cluster import KMeans

    x, _ = points(N, d)

    def ours() -> np.ndarray:
        with workers(THREADS):
            return kmeans_kernel(x, k, np.random.default_rng(0)).centres_k_d

    calls = {
        "scikit-learn": lambda: KMeans(k, n_init=1, random_state=0).fit(x).cluster_centers_.astype(np.float64),
        "faiss": lambda: faiss_centres(x, k, 20),
    }
    kmeans_kernel(x[:500], 20, np.random.default_rng(0))
    found = alternate({"querist": ours} | {name: calls[name] for name in peers})
    reached = {f"inertia of {name}": round(inertia(x, m.result), 1) for name, m in found.items()}
    return table("k-means", f"{N} x {d}, k={k}", found, **reached)


@row
def typiclust() -> list[Row]:
    N, d, b = 50_000, 64, 1000
    x, _ = points(N, d)
    tie, everything = Seed(0).key().hash(np.arange(N)), np.ones(N, np.bool_)

    def ours() -> np.ndarray:
        with workers(THREADS):
            clusters = kmeans_kernel(x, 500, np.random.default_rng(0))
            return typical_rows(x, clusters.label_N, everything, tie, b)[0]

    kmeans_kernel(x[:500], 200, np.random.default_rng(0))
    typical_rows(x[:100], np.zeros(100, np.intp), everything[:100], tie[:100], 5)
    found = alternate({"querist": ours, "MiniBatchKMeans + NearestNeighbors": lambda: minibatch_typiclust(x, b)})
    return [table("typiclust", f"{N} x {d}, b={b}", found)]


# The table ----------------------------------------------------------------------------------------------------------


def written(document: dict[str, Any]) -> str:
    lines = [
        "# Selection kernels beside peers", "",
        f"{document['machine']}; best of up to three alternating calls in one process (column calls); "
        "the machine was shared, its load at the end of each row is given. A ratio is how many times longer the other "
        "took than querist. Extra MB is the growth of private memory during the call. Versions: "
        + ", ".join(f"{k} {v}" for k, v in document["versions"].items()) + ".", "",
        "| kernel | workload | threads | who | seconds | ratio | extra MB | calls | load |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for entry in document["rows"]:
        for name, seconds in entry["seconds"].items():
            lines.append(
                f"| {entry['kernel']} | {entry['workload']} | {entry['threads']} | {name} | {seconds} | "
                f"{entry['ratio'].get(name, '')} | "
                f"{entry['extra_MB'][name]} | {entry['calls'][name]} | {entry['load']} |"
            )
        if entry["quality"]:
            facts = "; ".join(f"{k}: {v}" for k, v in entry["quality"].items())
            lines.append(f"| | {facts} | | | | | | | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    warnings.simplefilter("ignore")
    if unknown := [name for name in sys.argv[1:] if name not in ROWS] or not sys.argv[1:]:
        sys.exit(f"Expected names out of {', '.join(ROWS)}, got {unknown if sys.argv[1:] else 'none'}.")
    fresh = []
    for name in sys.argv[1:]:
        with threadpool_limits(THREADS):
            measured = ROWS[name]()
        for entry in measured:
            print(json.dumps(entry), flush=True)
        fresh += measured
    before = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows = {(entry["kernel"], entry["workload"], entry["threads"]): entry for entry in before + fresh}
    document = {
        "machine": f"{platform.machine()}, 2 cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in PEERS},
        "rows": list(rows.values()),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(written(document))


if __name__ == "__main__":
    main()
